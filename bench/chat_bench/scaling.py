"""Laws of growth, fitted to what was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Power:
    """y = factor × x^exponent."""

    factor: float
    exponent: float

    def __call__(self, x: float) -> float:
        return self.factor * x**self.exponent


def power(xs: Sequence[float], ys: Sequence[float]) -> Power:
    """By least squares of the logarithms, so that each point counts by its ratio to the curve."""
    log_xs, log_ys = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mean_x, mean_y = sum(log_xs) / len(xs), sum(log_ys) / len(ys)
    both = sum((x - mean_x) * (y - mean_y) for x, y in zip(log_xs, log_ys, strict=True))
    exponent = both / sum((x - mean_x) ** 2 for x in log_xs)
    return Power(math.exp(mean_y - exponent * mean_x), exponent)


@dataclass(frozen=True)
class Universal:
    """Throughput of n: n × one / (1 + contention × (n - 1) + crosstalk × n × (n - 1)).

    Gunther's Universal Scalability Law, http://www.perfdynamics.com/Manifesto/USLscalability.html.
    """

    one: float
    contention: float
    crosstalk: float

    def __call__(self, n: float) -> float:
        lost = self.contention * (n - 1) + self.crosstalk * n * (n - 1)
        return n * self.one / (1 + lost)


def universal(ns: Sequence[int], ys: Sequence[float]) -> Universal:
    """The first measurement has to be that of one. Neither loss can be a gain: less than 0 is 0."""
    if ns[0] != 1 or len(ns) < 2:
        raise ValueError("needs the throughput of one, and of more")
    # Divided by n - 1, what is lost is a straight line in n.
    lost = [(n * ys[0] / y - 1) / (n - 1) for n, y in zip(ns[1:], ys[1:], strict=True)]
    mean_n, mean = sum(ns[1:]) / len(lost), sum(lost) / len(lost)
    along = sum((n - mean_n) ** 2 for n in ns[1:])
    both = sum((n - mean_n) * (y - mean) for n, y in zip(ns[1:], lost, strict=True))
    crosstalk = both / along if along else 0.0
    contention = mean - crosstalk * mean_n
    if crosstalk < 0:
        crosstalk, contention = 0.0, mean
    elif contention < 0:
        squares = sum(n * n for n in ns[1:])
        crosstalk = sum(n * y for n, y in zip(ns[1:], lost, strict=True)) / squares
        contention = 0.0
    return Universal(ys[0], max(0.0, contention), max(0.0, crosstalk))
