"""Everything that was measured, in one JSON file: a key for each sub-command."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from chat_bench import machine


def load(file: Path) -> dict[str, Any]:
    """What is known so far, by earlier runs too."""
    if not file.exists():
        return {}
    results: dict[str, Any] = json.loads(file.read_text())
    return results


class Section:
    """What one sub-command measures on one kind of database.

    It is saved as it grows, and says whether it was finished: an interrupted hour is not lost, and
    the report does not take it for a whole one.
    """

    def __init__(self, file: Path, command: str, database: str, **settings: object) -> None:
        self._file = file
        self._path = (command, database)
        self._begun = time.monotonic()
        self.samples: list[dict[str, object]] = []
        self._section: dict[str, Any] = {
            "command": shlex.join(["bench/run", *sys.argv[1:]]),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": machine.commit(),
            "settings": settings,
            "samples": self.samples,
            "finished": False,
        }

    def set(self, **facts: object) -> None:
        self._section.update(facts)

    def add(self, row: dict[str, object]) -> None:
        self.samples.append(row)

    def save(self, finished: bool = False) -> None:
        self._section.update(finished=finished, took_seconds=round(time.monotonic() - self._begun))
        results = load(self._file)
        command, database = self._path
        results.setdefault(command, {})[database] = self._section
        write(self._file, results)


def write(file: Path, results: dict[str, Any]) -> None:
    """All or nothing, so that a crash leaves the last state."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    part.replace(file)
