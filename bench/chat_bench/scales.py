"""From values to pixels, and which values an axis names."""

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Linear:
    """Zero is at `start`, because lengths that begin elsewhere deceive."""

    top: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * value / self.top

    def ticks(self, count: int = 4) -> list[float]:
        """About so many round values."""
        rough = self.top / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step for factor in (1, 2, 2.5, 5, 10) if (step := factor * power) >= rough)
        return [step * index for index in range(int(self.top / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Log:
    """For values that differ by factors of ten; covers whole decades."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        value = max(value, self.low)
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * part

    def ticks(self) -> list[float]:
        """The powers of ten."""
        first, last = round(math.log10(self.low)), round(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def decades(values: list[float], start: float, end: float) -> Log:
    """The scale that has room for all of them."""
    positive = [value for value in values if value > 0] or [1.0, 10.0]
    low = math.floor(math.log10(min(positive)) + 1e-9)
    high = max(low + 1, math.ceil(math.log10(max(positive)) - 1e-9))
    return Log(10.0**low, 10.0**high, start, end)


def spaced(wanted: list[float], distance: float, low: float, high: float) -> list[float]:
    """Moves labels apart that would overlap, each as little as possible, in the given bounds."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = list(wanted)
    # Pushing back and forth settles in a few passes, for the few labels that a chart has.
    for _ in range(50):
        for upper, lower in pairwise(order):
            overlap = distance - (placed[lower] - placed[upper])
            if overlap > 0.01:
                placed[upper] -= overlap / 2
                placed[lower] += overlap / 2
        if order:
            shift_down = max(0.0, low - placed[order[0]])
            placed[order[0]] += shift_down
            placed[order[-1]] = min(placed[order[-1]], high)
    return placed
