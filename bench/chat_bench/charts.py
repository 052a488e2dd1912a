"""The charts of the report, drawn with matplotlib."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chat_bench.peers import CEILING, OURS
from chat_bench.samples import (
    DATABASES,
    GROWTH_TITLES,
    TITLES,
    Samples,
    peers_of,
    relative,
    sizes,
    under_load,
)
from chat_bench.stats import Spread, brief, duration, memory, rounded, short, times

COLOURS = {
    OURS: "#0969da", CEILING: "#59636e", "axum": "#bc4c00", "go": "#1a7f64", "gunicorn": "#8250df",
    "flask": "#9a6700",
}  # fmt: skip
GREY, PALE, MUTED = "#b6bfc9", "#dfe4ea", "#59636e"
# A bar that is so many times as long as the median one would leave no room for the others.
OUTLIER = 4
RIVALS = ("go", "axum")

mpl.rcParams.update({
    "axes.spines.right": False, "axes.spines.top": False, "axes.titlelocation": "left",
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.edgecolor": MUTED, "font.size": 9,
    "grid.color": "#e9edf1", "savefig.facecolor": "white", "svg.fonttype": "none",
    "svg.hashsalt": "chat-server",
})  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A figure with what it shows in words, for readers who cannot see it."""

    title: str
    words: str
    figure: Figure

    def svg(self) -> str:
        """The file, the same for the same numbers."""
        file = io.StringIO()
        about: dict[str, Any] = {"Title": self.title, "Description": self.words}
        self.figure.savefig(file, format="svg", metadata={**about, "Date": None, "Creator": None})
        return file.getvalue()


@dataclass(frozen=True)
class Bar:
    """`parts` follow each other, such as the processor time of server and database."""

    variant: str
    parts: list[float]
    text: str
    rounds: Spread | None = None


def _figure(title: str, subtitle: str, panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Two panels a row."""
    rows = ceil(panels / 2)
    figure = Figure(figsize=(9.4, 0.9 + rows * height), layout="constrained")
    figure.suptitle(f"{title}\n{subtitle}", x=0.01, ha="left", fontsize=10)
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def _bars(axes: Axes, title: str, learned: str, bars: list[Bar], top: float) -> None:
    """One bar a variant with its value beside it, and a thin line from lowest to highest round."""
    axes.set_title(title)
    axes.set_title(learned, loc="right", color=COLOURS[OURS], fontsize=9)
    for row, bar in enumerate(bars):
        left = 0.0
        ours = bar.variant == OURS
        for part, colour in zip(bar.parts, (COLOURS[OURS] if ours else GREY, PALE), strict=False):
            hollow = bar.variant == CEILING
            style = {"facecolor": "white", "edgecolor": MUTED, "linestyle": "--"} if hollow else {}
            axes.barh(row, part, left=left, height=0.6, **({"color": colour} | style))
            left += part
        if bar.rounds:
            axes.plot([bar.rounds.low, bar.rounds.high], [row, row], color=MUTED, linewidth=1)
        end = min(max(left, bar.rounds.high if bar.rounds else 0), top)
        text = bar.text if left <= top else f"… {bar.text}"
        axes.annotate(
            text, (end, row), (5, 0), textcoords="offset points", va="center",
            weight="bold" if ours else None,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    axes.set_xlim(0, top * 1.3)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_yticks(range(len(bars)), [bar.variant for bar in bars])
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)


def _lines(
    axes: Axes, title: str, steps: list[str], lines: dict[str, list[float | None]],
    unit: Callable[[float], str],
) -> None:  # fmt: skip
    """One line a variant from step to step, and a legend."""
    axes.set_title(title)
    axes.grid(axis="y")
    for name, values in lines.items():
        style = "--" if name == CEILING else "-"
        width = 2.5 if name == OURS else 1.5
        shown = [float("nan") if value is None else value for value in values]
        axes.plot(
            steps, shown, style, marker="o", markersize=3.5, linewidth=width, label=name,
            color=COLOURS.get(name, MUTED), zorder=3 if name == OURS else 2,
        )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda value, _: unit(value))
    axes.legend(frameon=False, fontsize=8)


def _of(samples: Samples, field: str, theirs: str, what: str) -> str:
    ratio = samples.ratio(field, OURS, theirs)
    return f"{times(ratio.median)} {what}" if ratio else ""


def _rival(samples: Samples) -> str:
    """The peer in the headings: Go where it takes part, otherwise another compiled one."""
    return next((name for name in RIVALS if name in samples.variants()), "")


def _in_words(samples: Samples, say: Callable[[Samples], str]) -> str:
    def of(name: str) -> Iterable[str]:
        for workload in samples.distinct("workload"):
            found = samples.where(variant=name, workload=workload)
            yield f"{TITLES.get(workload, workload)} {say(found)}"

    return "; ".join(f"{name}: {', '.join(of(name))}" for name in samples.variants())


def throughput(samples: Samples, database: str) -> Chart:
    """Bars of requests a second."""
    at, connections = under_load(samples)
    title = f"Requests per second on {DATABASES[database]}"
    subtitle = (
        f"{connections} connections; longer is better. Dashed: the same web framework without a "
        "database, the maximum."
    )
    workloads = at.distinct("workload")
    figure, panels = _figure(title, subtitle, len(workloads), 0.5 + 0.3 * len(at.variants()))
    top = max(row["rps"] for row in at.rows)
    for axes, workload in zip(panels, workloads, strict=True):
        of = at.where(workload=workload)
        bars = [
            Bar(name, [found.median], rounded(found.median), found)
            for name in at.variants()
            if (found := of.where(variant=name).spread("rps"))
        ]
        rival = _rival(of)
        learned = [_of(of, "rps", CEILING, "of the ceiling"), _of(of, "rps", rival, f"× {rival}")]
        _bars(axes, TITLES[workload], " · ".join(filter(None, learned)), bars, top)
    words = _in_words(at, lambda of: f"{rounded(of.median('rps'))} requests per second")
    return Chart(title, words, figure)


def tails(samples: Samples, database: str) -> Chart:
    """Median, 99 % and 99.9 % of the latencies."""
    at, connections = under_load(samples)
    title = f"Latency on {DATABASES[database]}"
    subtitle = (
        f"{connections} connections without a pause; further left is better. "
        "Circle: median; dot: 99 % (in numbers); bar: 99.9 %."
    )
    workloads = at.distinct("workload")
    figure, panels = _figure(title, subtitle, len(workloads), 0.8 + 0.3 * len(at.variants()))
    for axes, workload in zip(panels, workloads, strict=True):
        of, names = at.where(workload=workload), at.variants()
        axes.set_title(TITLES[workload])
        learned = _of(of, "p99_us", _rival(of), f"of {_rival(of)}'s 99 %")
        axes.set_title(learned, loc="right", color=COLOURS[OURS], fontsize=9)
        for row, name in enumerate(names):
            if not (found := of.where(variant=name)).rows:
                continue
            p50, p99, p999 = (found.median(field) for field in ("p50_us", "p99_us", "p999_us"))
            colour = COLOURS.get(name, MUTED)
            axes.plot([p50, p999], [row, row], color=colour, linewidth=1.5)
            axes.plot(p50, row, "o", color=colour, markerfacecolor="white", markersize=5)
            axes.plot(p999, row, "|", color=colour, markersize=9)
            axes.plot(p99, row, "o", color=colour, markersize=7)
            axes.annotate(
                duration(p99), (max(p99, p999), row), (7, 0), textcoords="offset points",
                va="center", color=colour, weight="bold" if name == OURS else None,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter(lambda value, _: duration(value).replace(".0", ""))
    words = _in_words(at, lambda of: f"99 % within {duration(of.median('p99_us'))}")
    return Chart(title, words, figure)


def cost(samples: Samples, database: str) -> Chart:
    """Bars of processor time, without the ceiling, which has no database."""
    at, connections = under_load(samples)
    names = [name for name in at.variants() if name != CEILING]
    parts = ["server_cpu_us", *(["database_cpu_us"] if database == "mysql" else [])]
    title = f"Processor time per request on {DATABASES[database]}"
    subtitle = f"Microseconds, {connections} connections; shorter is better."
    if len(parts) == 2:
        subtitle += " Server + MySQL (pale)."
    workloads = at.distinct("workload")
    figure, panels = _figure(title, subtitle, len(workloads), 0.5 + 0.3 * len(names))
    for axes, workload in zip(panels, workloads, strict=True):
        of = {name: at.where(workload=workload, variant=name) for name in names}
        bars = [
            Bar(name, values, " + ".join(map(brief, values)))
            for name in names
            if of[name].rows and (values := [of[name].median(part) for part in parts])
        ]
        usual = OUTLIER * median(sum(bar.parts) for bar in bars)
        top = max(length for bar in bars if (length := sum(bar.parts)) <= usual)
        _bars(axes, TITLES[workload], "", bars, top)

    def total(of: Samples) -> str:
        return f"{rounded(sum(of.median(part) for part in parts))} µs"

    found = Samples([row for row in at.rows if row["variant"] != CEILING])
    return Chart(title, _in_words(found, total), figure)


def scaling(samples: Samples, database: str) -> Chart:
    """Lines of requests a second over the number of connections."""
    steps = sorted(samples.distinct("connections"))
    title = f"From one connection to many on {DATABASES[database]}"
    subtitle = "Requests per second by connections; higher is better, on a logarithmic scale."
    workloads = samples.distinct("workload")
    figure, panels = _figure(title, subtitle, len(workloads), 2.4)
    for axes, workload in zip(panels, workloads, strict=True):
        lines = {
            name: [
                found.median if (found := of.where(connections=step).spread("rps")) else None
                for step in steps
            ]
            for name in samples.variants()
            if (of := samples.where(workload=workload, variant=name)).rows
        }
        axes.set_yscale("log")
        _lines(axes, TITLES[workload], [f"{step:,}" for step in steps], lines, short)
    last = samples.where(connections=steps[-1])
    rate = f"requests per second with {steps[-1]} connections"
    return Chart(title, _in_words(last, lambda of: f"{rounded(of.median('rps'))} {rate}"), figure)


def latency(by_database: dict[str, Samples]) -> Chart:
    """Bars of the median latency of a lone client."""
    title = "Latency of a lone client"
    places = [(name, it) for name, of in by_database.items() for it in of.distinct("workload")]
    subtitle = "Median of a request without other load; shorter is better."
    rows = max(len(of.variants()) for of in by_database.values())
    figure, panels = _figure(title, subtitle, len(places), 0.5 + 0.3 * rows)
    for axes, (database, workload) in zip(panels, places, strict=True):
        of = by_database[database].where(workload=workload)
        medians = {name: of.where(variant=name).median("p50_us") for name in of.variants()}
        bars = [Bar(name, [it], duration(it)) for name, it in medians.items() if it]
        learned = [_of(of, "p50_us", name, f"× {name}") for name in peers_of(of)]
        top = max(medians.values())
        panel = f"{TITLES[workload]} · {DATABASES[database]}"
        _bars(axes, panel, " · ".join(filter(None, learned)), bars, top)
    words = "; ".join(
        f"{DATABASES[database]}: {_in_words(of, lambda it: duration(it.median('p50_us')))}"
        for database, of in by_database.items()
    )
    return Chart(title, words, figure)


def growth(by_database: dict[str, Samples]) -> Chart:
    """Lines of throughput relative to a small database."""
    title = "With a long history"
    subtitle = (
        "Throughput relative to a small database; a level line is best. Steps: messages and users."
    )
    places = [(name, it) for name, of in by_database.items() for it in of.distinct("workload")]
    figure, panels = _figure(title, subtitle, len(places), 2.4)
    words = []
    for axes, (database, workload) in zip(panels, places, strict=True):
        samples = by_database[database]
        found = {
            name: relative(samples.where(workload=workload, variant=name))
            for name in samples.variants()
        }
        lines = {name: line for name, line in found.items() if any(line)}
        steps = [f"{short(messages)}\n{short(users)}" for messages, users in sizes(samples)]
        panel = f"{GROWTH_TITLES[workload]} · {DATABASES[database]}"
        _lines(axes, panel, steps, lines, lambda value: f"{value:g}")
        axes.set_ylim(bottom=0)
        ends = ", ".join(f"{name} {line[-1] or 0:.2f}" for name, line in lines.items())
        words.append(f"{panel}: {ends}")
    return Chart(title, "; ".join(words), figure)


def connections(samples: Samples, active: int) -> Chart:
    """Throughput relative to the active connections alone, and memory of an idle one."""
    steps = sorted(samples.distinct("open"))
    names = samples.variants()
    title = f"With up to {steps[-1]:,} open connections"
    subtitle = f"{active} of them read messages without a pause, the others are idle."
    figure, panels = _figure(title, subtitle, 3, 2.2)
    medians = {
        name: [samples.where(variant=name, open=step).median("rps") for step in steps]
        for name in names
    }
    lines: dict[str, list[float | None]] = {
        name: [value / values[0] for value in values] for name, values in medians.items()
    }
    labels = [f"{step:,}" for step in steps]
    _lines(panels[0], f"Throughput, relative to {active} alone", labels, lines, "{:g}".format)
    panels[0].set_ylim(bottom=0)
    most = {name: samples.where(variant=name, open=steps[-1]) for name in names}
    each = {name: of.median("memory_each") for name, of in most.items()}
    whole = {name: of.median("peak_memory") for name, of in most.items()}
    for axes, panel, amounts in (
        (panels[1], "Memory per idle connection", each),
        (panels[2], f"Memory of the server with {steps[-1]:,}", whole),
    ):
        bars = [Bar(name, [amounts[name]], memory(amounts[name])) for name in names]
        _bars(axes, panel, "", bars, max(amounts.values()))
    words = "; ".join(
        f"{name}: {lines[name][-1]:.2f} of the throughput, {memory(each[name])} per idle connection"
        for name in names
    )
    return Chart(title, words, figure)
