"""The flags that several sub-commands share."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from chat_bench import places
from chat_bench.databases import KINDS

# Far above anything sensible, so that a typing error does not run for days.
NUMBER_MAX = 100_000_000


def words(text: str) -> list[str]:
    """A comma-separated list."""
    return [word for word in text.split(",") if word]


def number(text: str) -> int:
    """A positive number; 1e6 is one too."""
    try:
        value = int(float(text))
    except ValueError as error:
        raise ArgumentTypeError(f"{text} is not a number") from error
    if not 1 <= value <= NUMBER_MAX:
        raise ArgumentTypeError(f"{text} is not between 1 and {NUMBER_MAX}")
    return value


def numbers(text: str) -> list[int]:
    """A comma-separated list of numbers."""
    return [number(word) for word in words(text)]


def _choice(allowed: Sequence[str]) -> type:
    def parse(text: str) -> list[str]:
        if unknown := set(words(text)) - set(allowed):
            raise ArgumentTypeError(
                f"{', '.join(sorted(unknown))} is not one of {', '.join(allowed)}"
            )
        return words(text)

    return parse  # type: ignore[return-value]


def add_results(parser: ArgumentParser, default: Path = places.RESULTS) -> None:
    """--results"""
    parser.add_argument(
        "--results", type=Path, default=default, metavar="FILE",
        help=f"where results are kept (default: {default.relative_to(places.ROOT)})",
    )  # fmt: skip


def add_databases(parser: ArgumentParser, default: Sequence[str] = tuple(KINDS)) -> None:
    """--databases"""
    parser.add_argument(
        "--databases", type=_choice(list(KINDS)), default=list(default), metavar="LIST",
        help=f"of {','.join(KINDS)} (default: {','.join(default)})",
    )  # fmt: skip


def add_peers(parser: ArgumentParser, default: list[str] | None = None) -> None:
    """--peers and --peers-folder"""
    parser.add_argument(
        "--peers", type=words, default=default, metavar="LIST",
        help=f"variants to measure (default: {','.join(default) if default else 'all there are'})",
    )  # fmt: skip
    parser.add_argument(
        "--peers-folder", type=Path, default=places.PEERS, metavar="DIR",
        help="where the variants are (default: bench/peers)",
    )  # fmt: skip


def add_workloads(parser: ArgumentParser, workloads: list[str]) -> None:
    """--workloads"""
    parser.add_argument(
        "--workloads", type=_choice(workloads), default=workloads, metavar="LIST",
        help=f"of {','.join(workloads)} (default: all)",
    )  # fmt: skip


def add_numbers(parser: ArgumentParser, name: str, default: list[int], what: str) -> None:
    """A flag for a list of numbers."""
    shown = ",".join(map(str, default))
    parser.add_argument(
        f"--{name}",
        type=numbers,
        default=default,
        metavar="LIST",
        help=f"{what} (default: {shown})",
    )


def add_number(parser: ArgumentParser, name: str, default: int, what: str) -> None:
    """A flag for a number."""
    parser.add_argument(
        f"--{name}", type=number, default=default, metavar="N", help=f"{what} (default: {default})"
    )


def add_rounds(parser: ArgumentParser, rounds: int, seconds: int) -> None:
    """--rounds and --seconds"""
    add_number(parser, "rounds", rounds, "how often everything is measured")
    add_number(parser, "seconds", seconds, "how long one measurement takes")
