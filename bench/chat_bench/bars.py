"""Panels of horizontal bars: one bar a variant, its value beside it."""

from dataclasses import dataclass

from chat_bench.peers import CEILING, OURS
from chat_bench.scales import Linear
from chat_bench.stats import Spread
from chat_bench.svg import Canvas, text_width

ROW = 25
BAR = 15
LABELS = 92
HEAD = 24
BREAK = 34


@dataclass(frozen=True)
class Bar:
    """`parts` follow each other, such as the processor time of server and database."""

    variant: str
    parts: list[float]
    text: str
    rounds: Spread | None = None

    @property
    def length(self) -> float:
        return max(sum(self.parts), self.rounds.high if self.rounds else 0)


def height(bars: int) -> float:
    """Of a panel."""
    return HEAD + ROW * bars


def draw(
    canvas: Canvas, place: tuple[float, float, float], title: tuple[str, str], bars: list[Bar],
    top: float,
) -> None:  # fmt: skip
    """A panel at (x, y, width). `title` is what it shows and, to the right, what it teaches."""
    x, y, width = place
    canvas.text(x, y + 10, title[0], "panel ink")
    canvas.text(x + width, y + 10, title[1], f"strong {OURS}", "end")
    room = max((text_width(bar.text) for bar in bars), default=0) + 10
    scale = Linear(top, x + LABELS, x + width - room)
    if any(bar.length > top for bar in bars):
        # The ones that fit leave room for the broken ends of the others.
        scale = Linear(top, scale.start, scale.end - BREAK)
    for number, bar in enumerate(bars):
        middle = y + HEAD + ROW * (number + 0.5)
        ours = bar.variant == OURS
        css = "strong ink" if ours else "ink"
        canvas.text(x + LABELS - 10, middle + 4, bar.variant, css, "end")
        end = scale(bar.length)
        if bar.length > top:
            end = scale.end + BREAK
            _broken(canvas, bar, (scale.start, middle - BAR / 2), end)
        else:
            _whole(canvas, bar, scale, middle - BAR / 2)
        if bar.rounds and bar.rounds.high > bar.rounds.low:
            low, high = scale(bar.rounds.low), scale(bar.rounds.high)
            canvas.line(low, middle, high, middle, "s-ink range", 1.25)
        canvas.text(end + 7, middle + 4, bar.text, css)
    canvas.line(x + LABELS, y + HEAD, x + LABELS, y + height(len(bars)), "s-rule")


def _broken(canvas: Canvas, bar: Bar, begin: tuple[float, float], end: float) -> None:
    """Longer than there is room for: its parts keep their shares, its length says nothing."""
    x, y = begin
    _whole(canvas, bar, Linear(sum(bar.parts), x, end), y)
    for gap in (end - 22, end - 17):
        canvas.line(gap - 3, y + BAR + 2, gap + 3, y - 2, "s-paper", 2.5)


def _whole(canvas: Canvas, bar: Bar, scale: Linear, y: float) -> None:
    """The ceiling is only an outline, since it does none of the work with a database."""
    begin = 0.0
    styles = [OURS, "soft"] if bar.variant == OURS else ["bar", "pale"]
    if bar.variant == CEILING:
        styles = [f"paper hollow dashed s-{CEILING}"] * 2
    for part, css in zip(bar.parts, styles, strict=False):
        start, end = scale(begin), scale(begin + part)
        # Even the smallest is to be seen.
        canvas.rect(start, y, max(end - start, 1.5 if part else 0), BAR, css)
        begin += part
