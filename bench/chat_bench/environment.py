"""The virtual environment with what requirements.txt lists, made when it is needed."""

import os
import subprocess
import sys
import venv

from chat_bench import places

FOLDER = places.ROOT / "target" / "bench" / "venv"
REQUIREMENTS = places.ROOT / "bench" / "requirements.txt"
INSTALLED = FOLDER / "installed.txt"


def enter() -> None:
    """Goes on with the environment's Python, with the same arguments."""
    if FOLDER.is_relative_to(sys.prefix):
        return
    wanted = REQUIREMENTS.read_text()
    if not INSTALLED.exists() or INSTALLED.read_text() != wanted:
        where = FOLDER.relative_to(places.ROOT)
        print(f"Installing {' '.join(wanted.split())} into {where}", flush=True)
        pip = [FOLDER / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            venv.create(FOLDER, clear=True, with_pip=True)
            subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"The charts need these packages, which could not be installed: {error}")
        INSTALLED.write_text(wanted)
    python = FOLDER / "bin" / "python"
    os.execv(python, [python, *sys.argv])
