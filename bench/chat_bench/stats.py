"""Medians of rounds, and numbers as people like to read them."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread | None:
    """Nothing for no values at all: a variant that was left out has no median."""
    values = list(values)
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """The ratio of two variants, taken round by round.

    Within a round the two ran one after the other, so what the machine did besides is mostly the
    same for both and cancels out; between rounds it does not.
    """
    pairs = zip(ours, theirs, strict=False)
    return spread(our / their for our, their in pairs if their > 0)


def rotated(items: Sequence[_T], by: int) -> list[_T]:
    """The same in another order, so that in another round another one begins."""
    by %= max(1, len(items))
    return [*items[by:], *items[:by]]


def rounded(value: float) -> str:
    """Three significant digits, and thousands grouped: 52,701 · 862 · 4.67 · 0.85."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def brief(value: float) -> str:
    """Two digits where there are few: 2,588 · 22 · 9.9."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def times(value: float) -> str:
    """A ratio: 0.69 · 8.2 · 61."""
    return f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 20 else f"{value:.0f}"


def short(value: float) -> str:
    """For axes and places without room: 52.7k · 1.2M · 862."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.1f}".removesuffix(".0") + letter
    return f"{value:.0f}"


def duration(microseconds: float) -> str:
    """A latency: 87 µs · 4.7 ms · 1.2 s."""
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    scaled, unit = microseconds / 1e3, "ms"
    if scaled >= 1000:
        scaled, unit = scaled / 1e3, "s"
    return f"{scaled:.1f} {unit}" if scaled < 100 else f"{scaled:.0f} {unit}"


def memory(size: float) -> str:
    """Bytes: 640 B · 9.8 KiB · 12 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return (
                f"{size:.1f} {unit}" if 0 < abs(size) < 10 and unit != "B" else f"{size:.0f} {unit}"
            )
        size /= 1024
    return f"{size:.1f} GiB"


def clock(seconds: float) -> str:
    """A time to wait: 0:07 · 34:10 · 1:02:00."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
