"""Panels of lines: how something changes from step to step, one line a variant."""

from collections.abc import Callable
from dataclasses import dataclass

from chat_bench.peers import CEILING, OURS
from chat_bench.scales import Linear, Log, spaced
from chat_bench.svg import Canvas, colour

HEAD = 26
TICK_ROW = 15
LABEL_HEIGHT = 14


@dataclass(frozen=True)
class Line:
    """A value for each step; steps without one are left out."""

    variant: str
    values: list[float | None]
    text: str


@dataclass(frozen=True)
class Axes:
    """`steps` are the labels below, each with one line or more."""

    steps: list[list[str]]
    scale: Linear | Log
    unit: Callable[[float], str]
    left: float = 44
    right: float = 84


def draw(
    canvas: Canvas, place: tuple[float, float, float], title: str, axes: Axes, lines: list[Line]
) -> None:
    """A panel at (x, y, width); the scale knows how high it is."""
    x, y, width = place
    canvas.text(x, y + 10, title, "panel ink")
    begin, end = x + axes.left, x + width - axes.right
    for tick in axes.scale.ticks():
        height = axes.scale(tick)
        canvas.line(begin, height, end, height, "s-grid")
        canvas.text(begin - 8, height + 4, axes.unit(tick), "small muted", "end")
    inset = 10
    gap = (end - begin - 2 * inset) / max(1, len(axes.steps) - 1)
    across = [begin + inset + gap * number for number in range(len(axes.steps))]
    canvas.line(begin, axes.scale.start, end, axes.scale.start, "s-rule")
    for middle, labels in zip(across, axes.steps, strict=True):
        for row, label in enumerate(labels):
            below = axes.scale.start + 6 + TICK_ROW * (row + 0.7)
            canvas.text(middle, below, label, "small muted", "middle")
    # Ours is drawn last, on top of the others.
    for line in sorted(lines, key=lambda line: line.variant == OURS):
        _line(canvas, across, axes.scale, line)
    _labels(canvas, across[-1], end + 8, axes.scale, lines)


def _line(canvas: Canvas, across: list[float], scale: Linear | Log, line: Line) -> None:
    points = [
        (x, scale(value)) for x, value in zip(across, line.values, strict=True) if value is not None
    ]
    css = f"s-{colour(line.variant)}"
    css += " heavy" if line.variant == OURS else ""
    css += " dashed" if line.variant == CEILING else ""
    canvas.path(points, css)
    for x, y in points:
        canvas.circle(x, y, 3.5 if line.variant == OURS else 2.5, colour(line.variant))


def _labels(canvas: Canvas, last: float, x: float, scale: Linear | Log, lines: list[Line]) -> None:
    ends = [(line, scale(line.values[-1])) for line in lines if line.values[-1] is not None]
    bounds = (min(scale.start, scale.end), max(scale.start, scale.end))
    placed = spaced([y for _, y in ends], LABEL_HEIGHT, *bounds)
    for (line, y), beside in zip(ends, placed, strict=True):
        if abs(beside - y) > 3:
            canvas.line(last + 6, y, x - 2, beside, "s-rule")
        weight = "strong " if line.variant == OURS else ""
        canvas.text(x, beside + 4, line.text, f"{weight}{colour(line.variant)}")
