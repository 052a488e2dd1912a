"""The programs that the benchmark takes from PATH, and how to get them."""

import os
import shutil
import subprocess

from chat_bench.trouble import Trouble

_APT = ["apt-get", "-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]


def need(program: str, package: str) -> None:
    """Installs a missing program on Debian as root, as tests/databases/private does."""
    if shutil.which(program):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {package}, because {program} is missing", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for action in (["update"], ["install", package]):
            subprocess.run(
                [*_APT, *action], env=environment, stdout=subprocess.DEVNULL, check=False
            )
    if not shutil.which(program):
        raise Trouble(f"{program} is missing; on Debian and Ubuntu: apt-get install {package}")
