"""Names and the arrangement of panels that the charts share."""

from collections.abc import Callable

from chat_bench.samples import Samples
from chat_bench.svg import FOOTER, MARGIN, Canvas

# Where enough is going on for the fast paths to matter, and not yet too much for the others.
CONNECTIONS = 256

TITLES = {
    "read": "GET /messages",
    "post": "POST /message",
    "mixed": "9 reads to 1 post",
    "users": "GET /users",
}
DATABASES = {"mysql": "MySQL", "sqlite": "SQLite"}

GAP = 40
PLOT = 170
_BETWEEN = 26

Draw = Callable[[tuple[float, float, float], str], None]


def under_load(samples: Samples) -> tuple[Samples, int]:
    """The part of a comparison that most charts show, and with how many connections it was made.

    A short trial may have left out the usual number; then it is the largest that there is.
    """
    measured = samples.distinct("connections")
    connections = CONNECTIONS if CONNECTIONS in measured else max(measured)
    return samples.where(connections=connections), connections


def column_width(canvas: Canvas) -> float:
    """Of two panels side by side."""
    return (canvas.width - 2 * MARGIN - GAP) / 2


def grid(canvas: Canvas, workloads: list[str], height: float, draw: Draw) -> None:
    """Two panels of this height a row; `draw` gets (x, y, width) and the workload."""
    width = column_width(canvas)
    begin = canvas.height
    for number, workload in enumerate(workloads):
        row, column = divmod(number, 2)
        x = MARGIN + column * (width + GAP)
        draw((x, begin + row * (height + _BETWEEN), width), workload)
    rows = -(-len(workloads) // 2)
    canvas.height = begin + rows * (height + _BETWEEN) - _BETWEEN + FOOTER + 4
