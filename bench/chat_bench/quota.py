"""A share of the processors for a process, by a control group, as Kubernetes limits it."""

import os
from contextlib import suppress
from pathlib import Path

from chat_bench.trouble import Trouble

PERIOD_US = 100_000  # That of Kubernetes.
_ROOT = Path("/sys/fs/cgroup")


class Quota:
    """A group of its own until `close`. Needs root."""

    def __init__(self, name: str, cpus: float) -> None:
        self.cpus = cpus
        version_2 = (_ROOT / "cgroup.controllers").exists()
        self.folder = (_ROOT if version_2 else _ROOT / "cpu") / f"chat-bench-{name}-{os.getpid()}"
        quota = int(cpus * PERIOD_US)
        try:
            if version_2:
                (_ROOT / "cgroup.subtree_control").write_text("+cpu")
            self.folder.mkdir()
            if version_2:
                (self.folder / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            else:
                (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (self.folder / "cpu.cfs_quota_us").write_text(str(quota))
        except OSError as error:
            self.close()
            raise Trouble(f"A share of the processors needs root and {_ROOT}: {error}") from error

    def take(self, pid: int) -> None:
        """Limits a process. What it starts afterwards is limited with it."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """After the processes in it have ended."""
        with suppress(OSError):
            self.folder.rmdir()
