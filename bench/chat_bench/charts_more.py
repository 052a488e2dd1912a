"""The charts of growth, open connections and the latency of a lone client."""

from chat_bench import bars, lines
from chat_bench.bars import Bar
from chat_bench.layout import DATABASES, GAP, PLOT, TITLES, column_width
from chat_bench.lines import Axes, Line
from chat_bench.peers import OURS
from chat_bench.samples import Samples, peers_of
from chat_bench.scales import Linear
from chat_bench.stats import duration, memory, short, times
from chat_bench.svg import FOOTER, MARGIN, Canvas, colour

GROWTH_TITLES = {**TITLES, "post": "POST by 10 users", "post-any": "POST by any user"}
FULL_PAGE_USERS = 1000


def latency(by_database: dict[str, Samples]) -> Canvas:
    """Bars of the median latency of one client."""
    canvas = Canvas(
        "Latency of a lone client",
        "Median of a request with nobody else around; shorter is better.",
        "; ".join(
            f"{DATABASES[database]} {TITLES[workload]} {name} "
            + duration(samples.where(variant=name, workload=workload).median("p50_us"))
            for database, samples in by_database.items()
            for workload in samples.distinct("workload")
            for name in samples.variants()
        ),
    )
    width = column_width(canvas)
    for database, samples in by_database.items():
        for column, workload in enumerate(samples.distinct("workload")):
            of = samples.where(workload=workload)
            shown = [
                Bar(name, [median], duration(median))
                for name in of.variants()
                if (median := of.where(variant=name).median("p50_us"))
            ]
            place = (MARGIN + column * (width + GAP), canvas.height, width)
            title = (f"{TITLES[workload]} · {DATABASES[database]}", _beside_peers(of))
            bars.draw(canvas, place, title, shown, max(bar.length for bar in shown))
        canvas.height += bars.height(len(samples.variants())) + 24
    canvas.height += FOOTER - 18
    return canvas


def _beside_peers(of: Samples) -> str:
    ratios = [(name, of.ratio("p50_us", OURS, name)) for name in peers_of(of)]
    return " · ".join(f"{times(ratio.median)} × {name}" for name, ratio in ratios if ratio)


def growth(by_database: dict[str, Samples]) -> Canvas:
    """Lines of throughput relative to a small database."""
    canvas = Canvas(
        "With a long history",
        "Throughput relative to a small database; a level line is best. Steps: messages, and users "
        "below them.",
        "; ".join(
            f"{DATABASES[database]} {GROWTH_TITLES[workload]} {name} {line[-1] or 0:.2f}"
            for database, samples in by_database.items()
            for workload in samples.distinct("workload")
            for name in samples.variants()
            if (line := relative(samples.where(workload=workload, variant=name)))
        ),
    )
    variants = dict.fromkeys(name for it in by_database.values() for name in it.variants())
    canvas.legend([(name, colour(name)) for name in variants])
    canvas.height += 4
    for database, samples in by_database.items():
        workloads = samples.distinct("workload")
        width = (canvas.width - 2 * MARGIN) / max(1, len(workloads))
        curves = {
            workload: {
                name: relative(samples.where(workload=workload, variant=name)) for name in variants
            }
            for workload in workloads
        }
        every = [value or 0 for of in curves.values() for line in of.values() for value in line]
        canvas.text(MARGIN, canvas.height + 8, DATABASES[database], "panel ink")
        canvas.height += 26
        begin = canvas.height + lines.HEAD
        scale = Linear(max(1.1, *every) * 1.02, begin + PLOT * 0.8, begin)
        steps = [[short(messages), short(users)] for messages, users in sizes(samples)]
        for column, workload in enumerate(workloads):
            place = (MARGIN + column * width, canvas.height, width)
            shown = [
                Line(name, line, f"{line[-1]:.2f}")
                for name, line in curves[workload].items()
                if line and line[-1]
            ]
            axes = Axes(steps, scale, lambda tick: f"{tick:g}", left=34, right=42)
            lines.draw(canvas, place, GROWTH_TITLES[workload], axes, shown)
        canvas.height += lines.HEAD + PLOT * 0.8 + 66
    canvas.height += FOOTER - 24
    return canvas


def sizes(samples: Samples) -> list[tuple[int, int]]:
    """Messages and users of each step."""
    return sorted({(row["messages"], row["users"]) for row in samples.rows})


def relative(samples: Samples) -> list[float | None]:
    """Of one variant and workload: each size's throughput, of the first size's with full pages."""
    found = [samples.where(messages=m, users=u).spread("rps") for m, u in sizes(samples)]
    users = "users" in samples.distinct("workload")
    full = [
        spread.median if spread and (not users or size[1] >= FULL_PAGE_USERS) else None
        for size, spread in zip(sizes(samples), found, strict=True)
    ]
    base = next((value for value in full if value), None)
    return [value / base if value and base else None for value in full]


def connections(samples: Samples, active: int) -> Canvas:
    """Throughput relative to the active connections alone, and memory of an idle one."""
    steps = sorted(samples.distinct("open"))
    variants = samples.variants()
    medians = {
        name: [samples.where(variant=name, open=step).median("rps") for step in steps]
        for name in variants
    }
    most = {name: samples.where(variant=name, open=steps[-1]) for name in variants}
    each = {name: of.median("memory_each") for name, of in most.items()}
    whole = {name: of.median("peak_memory") for name, of in most.items()}
    canvas = Canvas(
        f"With up to {steps[-1]:,} open connections",
        f"{active} of them read messages all the time, the others are idle.",
        "; ".join(
            f"{name}: {medians[name][-1] / medians[name][0]:.2f} of the throughput, "
            f"{memory(each[name])} per idle connection"
            for name in variants
        ),
    )
    begin = canvas.height + lines.HEAD
    shown = [
        Line(name, [value / medians[name][0] for value in medians[name]], name) for name in variants
    ]
    every = [value or 0 for line in shown for value in line.values]
    scale = Linear(max(1.2, *every) * 1.02, begin + PLOT, begin)
    axes = Axes([[f"{step:,}"] for step in steps], scale, lambda tick: f"{tick:g}")
    width = column_width(canvas)
    title = f"Throughput, relative to {active} alone"
    lines.draw(canvas, (MARGIN, canvas.height, width), title, axes, shown)
    y = canvas.height
    for title, amounts in (
        ("Memory per idle connection", each),
        (f"Memory of the server with {steps[-1]:,}", whole),
    ):
        shorter = [Bar(name, [amounts[name]], memory(amounts[name])) for name in variants]
        place = (MARGIN + width + GAP, y, width)
        bars.draw(canvas, place, (title, ""), shorter, max(amounts.values()))
        y += bars.height(len(variants)) + 18
    canvas.height = max(y - 18, canvas.height + lines.HEAD + PLOT + 24) + FOOTER
    return canvas
