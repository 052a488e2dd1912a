"""The numbers behind the charts, as Markdown tables."""

from collections.abc import Iterable
from itertools import product
from typing import Any

from chat_bench.goals import Goal
from chat_bench.peers import CEILING, OURS
from chat_bench.samples import DATABASES, TITLES, Samples, relative, sizes
from chat_bench.stats import Spread, brief, duration, memory, rounded, times

NONE = "–"


def table(header: list[str], rows: Iterable[list[str]], words: int = 1) -> str:
    """The first columns, `words` of them, are words; the others are numbers, set to the right."""
    rule = ["---" if number < words else "---:" for number in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def goals(found: list[Goal]) -> str:
    """Each goal with its verdict."""
    rows = [
        [
            goal.what,
            goal.limit(goal.least),
            goal.limit(goal.beyond),
            goal.unit(goal.measured),
            goal.verdict,
        ]
        for goal in found
    ]
    return table(["", "goal", "beyond", "measured", ""], rows)


def comparison(samples: Samples, database: str) -> str:
    """A table for each workload, with all connections and variants."""
    header = [
        "conn.", "variant", "requests/s", "lowest–highest", "of the ceiling", "ours ×", "median",
        "99 %", "99.9 %", "CPU µs", "database CPU µs", "idle", "peak", "each conn.",
    ]  # fmt: skip
    parts = []
    for workload in samples.distinct("workload"):
        rows = [
            _comparison_row(samples.where(workload=workload, connections=connections), variant)
            for connections in samples.distinct("connections")
            for variant in samples.where(workload=workload, connections=connections).variants()
        ]
        parts.append(
            f"**{TITLES[workload]} on {DATABASES[database]}**\n\n{table(header, rows, words=2)}"
        )
    return "\n\n".join(parts)


def _comparison_row(cell: Samples, variant: str) -> list[str]:
    of = cell.where(variant=variant)
    rps = of.spread("rps")
    connections = of.rows[0]["connections"]
    idle, peak = of.median("idle_memory"), of.median("peak_memory")
    return [
        f"{connections:,}",
        f"**{variant}**" if variant == OURS else variant,
        (rounded(rps.median) if rps else NONE) + (" ⚠" if of.failed() else ""),
        f"{rounded(rps.low)}–{rounded(rps.high)}" if rps else NONE,
        _ratio(cell.ratio("rps", variant, CEILING)),
        NONE if variant == OURS else _ratio(cell.ratio("rps", OURS, variant)),
        *(duration(of.median(field)) for field in ("p50_us", "p99_us", "p999_us")),
        brief(of.median("server_cpu_us")),
        brief(of.median("database_cpu_us")),
        memory(idle),
        memory(peak),
        memory((peak - idle) / connections),
    ]


def _ratio(ratio: Spread | None) -> str:
    return times(ratio.median) if ratio else NONE


def latency(by_database: dict[str, Samples]) -> str:
    """Medians over slices, and ours relative to each peer with the range over pairs of slices."""
    rows = []
    for database, samples in by_database.items():
        for workload in samples.distinct("workload"):
            of = samples.where(workload=workload)
            for variant in of.variants():
                its = of.where(variant=variant)
                ratio = of.ratio("p50_us", OURS, variant) if variant != OURS else None
                shown = (
                    f"{times(ratio.median)} ({times(ratio.low)}–{times(ratio.high)})"
                    if ratio
                    else NONE
                )
                median, p99 = duration(its.median("p50_us")), duration(its.median("p99_us"))
                rows.append([DATABASES[database], TITLES[workload], variant, median, p99, shown])
    return table(["", "", "variant", "median", "99 %", "ours, of it"], rows, words=3)


def growth(samples: Samples) -> str:
    """Throughput and tail for each size."""
    rows = []
    for messages, users in sizes(samples):
        at = samples.where(messages=messages, users=users)
        for workload, variant in product(at.distinct("workload"), at.variants()):
            of = at.where(workload=workload, variant=variant)
            size = [f"{messages:,}", f"{users:,}", workload, variant]
            rows.append([*size, rounded(of.median("rps")), duration(of.median("p99_us"))])
    return table(["messages", "users", "workload", "variant", "requests/s", "99 %"], rows)


def connections(samples: Samples) -> str:
    """Throughput and memory for each number of open connections."""
    rows = [
        [
            f"{step:,}", variant, rounded(of.median("rps")) + (" ⚠" if of.failed() else ""),
            duration(of.median("p99_us")), memory(of.median("peak_memory")),
            memory(of.median("memory_each")) if of.rows[0]["idle"] else NONE,
        ]
        for step in sorted(samples.distinct("open"))
        for variant in samples.variants()
        if (of := samples.where(open=step, variant=variant)).rows
    ]  # fmt: skip
    header = ["open", "variant", "requests/s", "99 %", "peak memory", "each idle one"]
    return table(header, rows, words=2)


def start(samples: Samples) -> str:
    """Time to ready with a new file and an old one, and memory then."""
    rows = []
    for variant in samples.variants():
        of = samples.where(variant=variant)
        spreads = [of.where(file=file).spread("ready_us") for file in ("new", "old")]
        shown = [
            f"{duration(it.median)} ({duration(it.low)}–{duration(it.high)})"
            for it in spreads
            if it
        ]
        rows.append([variant, *shown, memory(of.median("idle_memory"))])
    return table(["variant", "ready, new file", "ready, old file", "memory idle"], rows)


def machine(
    described: dict[str, Any], versions: dict[str, dict[str, str]], mysql: dict[str, str]
) -> str:
    """Where all this was measured."""
    sync = described["sync_us"]
    rows = [
        ["Processor", f"{described['processor']}, {described['cores']} cores"],
        ["Memory", memory(described["memory"])],
        ["System", f"{described['system']}, Linux {described['kernel']}"],
        ["Disk", f"{duration(sync['p50'])} to make 4 KiB durable (99 %: {duration(sync['p99'])})"],
        [
            "Tools",
            ", ".join(f"{name} {version}" for name, version in described["versions"].items()),
        ],
    ]
    if mysql:
        shown = [f"`{name} = {value}`" for name, value in mysql.items() if name != "version"]
        rows.append(["MySQL", f"{mysql['version']}: {', '.join(shown)}"])
    rows += [
        [variant, ", ".join(f"{name} {version}" for name, version in parts.items())]
        for variant, parts in versions.items()
        if parts
    ]
    return table(["", ""], rows, words=2)
