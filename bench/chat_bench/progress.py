"""Prints the progress and the remaining time."""

import time

from chat_bench.stats import clock


class Progress:
    """A number of steps of about the same length."""

    def __init__(self, what: str, steps: int, seconds_each: float) -> None:
        self.steps = steps
        self.done = 0
        self.guess = seconds_each
        self.begun = time.monotonic()
        print(f"== {what}: {steps} steps, about {clock(steps * seconds_each)}", flush=True)

    def step(self, text: str) -> None:
        """Says what begins now."""
        left = (self.steps - self.done) * self._seconds_each()
        number = f"{self.done + 1}/{self.steps}"
        print(f"[{number:>9} · {clock(left):>7} left] {text:<46} ", end="", flush=True)

    def result(self, text: str) -> None:
        """Says how that went."""
        self.done += 1
        print(text, flush=True)

    def _seconds_each(self) -> float:
        # The first steps say little about the rest, so the guess counts for some of them.
        weight = 5
        elapsed = time.monotonic() - self.begun
        return (elapsed + weight * self.guess) / (self.done + weight)
