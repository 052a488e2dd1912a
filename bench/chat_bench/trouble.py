"""What can go wrong, and what is said about it."""

import sys
from pathlib import Path


class Trouble(Exception):
    """Something that a person has to know; its text is one clear sentence."""


class Disturbed(Trouble):
    """A measurement that something outside has spoiled; it can be made again."""


class Unsupported(Exception):
    """A peer that cannot use this kind of database, and says so."""


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, which is where the reason is."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def shout(problem: str) -> None:
    """Prints a message that stands out."""
    bold, plain = ("\033[1;31m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}!! {problem}{plain}\n", flush=True)
