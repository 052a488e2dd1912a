"""Panels of latencies: median, 99 % and 99.9 % of a variant on one line, on a logarithmic scale."""

from dataclasses import dataclass

from chat_bench.bars import HEAD, LABELS, ROW, height
from chat_bench.peers import OURS
from chat_bench.scales import Log
from chat_bench.stats import duration
from chat_bench.svg import LEGEND, MARGIN, Canvas, colour, text_width

AXIS = 20


@dataclass(frozen=True)
class Dots:
    """In microseconds."""

    variant: str
    p50: float
    p99: float
    p999: float


def legend(canvas: Canvas) -> None:
    """What the marks mean, drawn as they are."""
    x, y = float(MARGIN), canvas.height - 4
    for mark, text in ((_median, "median"), (_p99, "99 % are faster"), (_p999, "99.9 %")):
        mark(canvas, x + 5, y - 4, "muted")
        canvas.text(x + 16, y, text, "muted")
        x += 16 + text_width(text) + 22
    canvas.height += LEGEND


def draw(
    canvas: Canvas, place: tuple[float, float, float], title: tuple[str, str], dots: list[Dots],
    decades: tuple[float, float],
) -> None:  # fmt: skip
    """A panel at (x, y, width)."""
    x, y, width = place
    room = 58
    scale = Log(*decades, x + LABELS, x + width - room)
    canvas.text(x, y + 10, title[0], "panel ink")
    canvas.text(x + width, y + 10, title[1], f"strong {OURS}", "end")
    bottom = y + height(len(dots))
    for tick in scale.ticks():
        canvas.line(scale(tick), y + HEAD, scale(tick), bottom, "s-grid")
        canvas.text(
            scale(tick), bottom + 14, duration(tick).replace(".0", ""), "small muted", "middle"
        )
    for number, dot in enumerate(dots):
        middle = y + HEAD + ROW * (number + 0.5)
        ours = dot.variant == OURS
        canvas.text(
            x + LABELS - 10, middle + 4, dot.variant, "strong ink" if ours else "ink", "end"
        )
        css = colour(dot.variant)
        canvas.line(scale(dot.p50), middle, scale(dot.p999), middle, f"s-{css}", 2)
        _median(canvas, scale(dot.p50), middle, css)
        _p999(canvas, scale(dot.p999), middle, css)
        _p99(canvas, scale(dot.p99), middle, css)
        beside = max(scale(dot.p999), scale(dot.p99)) + 9
        canvas.text(beside, middle + 4, duration(dot.p99), f"{'strong ' if ours else ''}{css}")


def _median(canvas: Canvas, x: float, y: float, css: str) -> None:
    canvas.circle(x, y, 3.5, f"paper s-{css}")


def _p99(canvas: Canvas, x: float, y: float, css: str) -> None:
    canvas.circle(x, y, 5, css)


def _p999(canvas: Canvas, x: float, y: float, css: str) -> None:
    canvas.line(x, y - 5, x, y + 5, f"s-{css}", 2)
