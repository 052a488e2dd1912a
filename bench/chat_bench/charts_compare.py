"""The charts of `compare`: all variants, a panel for each workload."""

from collections.abc import Callable
from statistics import median

from chat_bench import bars, dots, lines
from chat_bench.bars import Bar
from chat_bench.dots import Dots
from chat_bench.layout import DATABASES, PLOT, TITLES, grid, under_load
from chat_bench.lines import Axes, Line
from chat_bench.peers import CEILING, OURS
from chat_bench.samples import Samples
from chat_bench.scales import decades
from chat_bench.stats import brief, duration, rounded, short, times
from chat_bench.svg import Canvas

RIVALS = ("go", "axum")

# A bar so many times as long as the median one would leave the others no room.
OUTLIER = 4


def _of(samples: Samples, field: str, theirs: str, what: str) -> str:
    ratio = samples.ratio(field, OURS, theirs)
    return f"{times(ratio.median)} {what}" if ratio else ""


def _rival(samples: Samples) -> str:
    """Whom a heading compares us with: Go where it takes part, else another compiled one."""
    return next((name for name in RIVALS if name in samples.variants()), "")


def throughput(samples: Samples, database: str) -> Canvas:
    """Bars of requests a second."""
    at, connections = under_load(samples)
    canvas = Canvas(
        f"Requests per second on {DATABASES[database]}",
        f"{connections} connections; longer is better. Dashed: the same web framework without a "
        "database, the most that is possible.",
        _in_words(at, "rps", lambda value: f"{rounded(value)} requests per second"),
    )
    top = max(row["rps"] for row in at.rows)
    variants = at.variants()

    def draw(place: tuple[float, float, float], workload: str) -> None:
        of = at.where(workload=workload)
        shown = [
            Bar(name, [found.median], rounded(found.median), found)
            for name in variants
            if (found := of.where(variant=name).spread("rps"))
        ]
        learned = [
            _of(of, "rps", CEILING, "of the ceiling"),
            _of(of, "rps", _rival(of), f"× {_rival(of)}"),
        ]
        title = (TITLES[workload], " · ".join(filter(None, learned)))
        bars.draw(canvas, place, title, shown, top)

    grid(canvas, at.distinct("workload"), bars.height(len(variants)), draw)
    return canvas


def tails(samples: Samples, database: str) -> Canvas:
    """Dots of latencies."""
    at, connections = under_load(samples)
    canvas = Canvas(
        f"Latency on {DATABASES[database]}",
        f"{connections} connections that all ask again at once; further left is better, "
        "each grid line is ten times the one before.",
        _in_words(at, "p99_us", lambda value: f"99 % within {duration(value)}"),
    )
    dots.legend(canvas)
    variants = at.variants()
    fields = ("p50_us", "p99_us", "p999_us")
    every = [
        at.where(workload=workload, variant=name).median(field)
        for workload in at.distinct("workload")
        for name in variants
        for field in fields
    ]
    scale = decades(every, 0, 1)

    def draw(place: tuple[float, float, float], workload: str) -> None:
        of = at.where(workload=workload)
        shown = [
            Dots(name, *(of.where(variant=name).median(field) for field in fields))
            for name in variants
            if of.where(variant=name).rows
        ]
        title = (TITLES[workload], _of(of, "p99_us", _rival(of), f"of {_rival(of)}’s 99 %"))
        dots.draw(canvas, place, title, shown, (scale.low, scale.high))

    grid(canvas, at.distinct("workload"), bars.height(len(variants)) + dots.AXIS, draw)
    return canvas


def cost(samples: Samples, database: str) -> Canvas:
    """Bars of processor time."""
    at, connections = under_load(samples)
    # The ceiling has no database to compare the cost of.
    variants = [name for name in at.variants() if name != CEILING]
    parts = ["server_cpu_us", *(["database_cpu_us"] if database == "mysql" else [])]

    def total(of: Samples) -> float:
        return sum(of.median(part) for part in parts)

    subtitle = f"Microseconds, {connections} connections; shorter is better."
    canvas = Canvas(
        f"Processor time per request on {DATABASES[database]}",
        subtitle,
        "; ".join(
            f"{name}: " + ", ".join(
                f"{TITLES[workload]} {rounded(total(at.where(variant=name, workload=workload)))} µs"
                for workload in at.distinct("workload")
            )
            for name in variants
        ),
    )  # fmt: skip
    if len(parts) == 2:
        canvas.legend([("server", "bar"), ("MySQL", "pale")])

    def draw(place: tuple[float, float, float], workload: str) -> None:
        of = {name: at.where(workload=workload, variant=name) for name in variants}
        shown = [
            Bar(name, values, " + ".join(map(brief, values)))
            for name in variants
            if of[name].rows and (values := [of[name].median(part) for part in parts])
        ]
        usual = OUTLIER * median(bar.length for bar in shown)
        top = max(bar.length for bar in shown if bar.length <= usual)
        if any(bar.length > top for bar in shown):
            canvas.subtitle = f"{subtitle} Bars with a gap are longer than there is room for."
        bars.draw(canvas, place, (TITLES[workload], ""), shown, top)

    grid(canvas, at.distinct("workload"), bars.height(len(variants)), draw)
    return canvas


def scaling(samples: Samples, database: str) -> Canvas:
    """Lines of requests a second over the number of connections."""
    steps = sorted(samples.distinct("connections"))
    canvas = Canvas(
        f"From one connection to many on {DATABASES[database]}",
        "Requests per second by connections; higher is better, each grid line is ten times the one "
        "below.",
        _in_words(
            samples.where(connections=steps[-1]), "rps",
            lambda value: f"{rounded(value)} requests per second with {steps[-1]} connections",
        ),
    )  # fmt: skip
    every = [row["rps"] for row in samples.rows]

    def draw(place: tuple[float, float, float], workload: str) -> None:
        of = samples.where(workload=workload)
        begin = place[1] + lines.HEAD
        axes = Axes([[f"{step:,}"] for step in steps], decades(every, begin + PLOT, begin), short)
        shown = []
        for name in of.variants():
            found = [of.where(variant=name, connections=step).spread("rps") for step in steps]
            shown.append(Line(name, [it.median if it else None for it in found], name))
        lines.draw(canvas, place, TITLES[workload], axes, shown)

    grid(canvas, samples.distinct("workload"), lines.HEAD + PLOT + 20, draw)
    return canvas


def _in_words(samples: Samples, field: str, say: Callable[[float], str]) -> str:
    def of(name: str) -> str:
        medians = {
            workload: samples.where(variant=name, workload=workload).median(field)
            for workload in samples.distinct("workload")
        }
        return ", ".join(
            f"{TITLES[workload]} {say(median)}" for workload, median in medians.items()
        )

    return "; ".join(f"{name}: {of(name)}" for name in samples.variants())
