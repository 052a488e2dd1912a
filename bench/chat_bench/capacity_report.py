"""Writes the numbers in docs/capacity.md; the text around them stays."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from chat_bench import places, scaling, tables
from chat_bench.capacity import Step
from chat_bench.report import folded, insert
from chat_bench.tables import table

PAGE = places.DOCS / "capacity.md"
NONE = "–"


def write(found: dict[str, Any]) -> None:
    """Replaces what is between the markers."""
    steps = [Step(**step) for step in found["steps"]]
    parts = [where(found), highest(steps), every(steps), laws(steps)]
    if "soak" in found:
        parts.append(soak(found["soak"]))
    PAGE.write_text(insert(PAGE.read_text(), "\n\n".join(parts)))
    print(f"Wrote {PAGE.relative_to(places.ROOT)}")


def where(found: dict[str, Any]) -> str:
    """The machine, and what was run on it."""
    when = f"{found['date']}, commit `{found['commit']}`, {found['seconds']} s a rate"
    described = tables.machine(found["machine"], {}, found["mysql"])
    return f"### Where\n\n{described}\n\n`make capacity`, {when}."


def runs(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps of each setting, in order."""
    return [list(it) for _, it in groupby(steps, lambda step: (step.name, step.servers))]


def best(run: Sequence[Step]) -> Step | None:
    """The last one before the first that did not hold."""
    held = []
    for step in run:
        if not step.held:
            break
        held.append(step)
    return held[-1] if held else None


def highest(steps: Sequence[Step]) -> str:
    """What each setting reaches, and what gave way after that."""
    rows = []
    for run in runs(steps):
        it, name = best(run), [run[0].name, str(run[0].servers)]
        after = next((step for step in run if not step.held), None)
        failed = dict.fromkeys(word.split()[0] for word in after.failed) if after else ["nothing"]
        gave_way = ", ".join(failed)
        if it is None:
            rows.append([*name, f"< {run[0].rate:,}", *[NONE] * 7, gave_way])
            continue
        cpus = [it.servers_cpus, it.mysql_cpus, it.k6_cpus, it.idle_cpus]
        rows.append([
            *name, f"{it.rate:,}", f"{it.p99_ms:.0f} ms", f"{it.inner_p99_ms:.0f} ms",
            *(f"{cpu:.2f}" for cpu in cpus), f"{after.rate:,}" if after else NONE, gave_way,
        ])  # fmt: skip
    header = [
        "", "servers", "requests/s", "p99", "p99 inside", "CPUs: servers", "MySQL", "k6", "idle",
        "not held", "gave way",
    ]  # fmt: skip
    return "### The highest rates that hold the objectives\n\n" + table(header, rows)


def every(steps: Sequence[Step]) -> str:
    """What requests cost, step by step."""
    rows = [
        [
            it.name, str(it.servers), f"{it.rate:,}", f"{it.p50_ms:.1f} ms", f"{it.p99_ms:.0f} ms",
            *(f"{cost:.3f}" for cost in costs(it)),
            *(f"{memory:.0f}" for memory in (it.server_memory, it.mysql_memory)),
            "✓" if it.held else f"✗ {it.dropped} dropped",
        ]
        for it in steps
    ]  # fmt: skip
    header = [
        "", "servers", "requests/s", "p50", "p99", "CPU s a 1,000: servers", "MySQL", "k6",
        "MiB: a server", "MySQL", "held",
    ]  # fmt: skip
    return f"### What 1,000 requests cost\n\n{folded('All rates', table(header, rows))}"


def costs(it: Step) -> list[float]:
    """CPU seconds for 1,000 requests: of all servers together, MySQL, k6."""
    return [1000 * cpus / it.requests for cpus in (it.servers_cpus, it.mysql_cpus, it.k6_cpus)]


def laws(steps: Sequence[Step]) -> str:
    """How costs grow with the rate, and throughput with servers."""
    rows = []
    for run in runs(steps):
        held = [it for it in run if it.held]
        if len(held) >= 3:
            rates = [it.requests for it in held]
            fits = [scaling.power(rates, [costs(it)[who] for it in held]) for who in (0, 1)]
            rows.append([
                run[0].name, str(run[0].servers), f"{held[0].rate:,}–{held[-1].rate:,}",
                *(f"{1000 * fit(1000):.0f} ms × (rate / 1,000)^{fit.exponent:.2f}" for fit in fits),
            ])  # fmt: skip
    parts = [
        "### Laws\n\nCPU time for 1,000 requests:",
        table(["", "servers", "requests/s", "servers", "MySQL"], rows),
    ]
    for name, of in groupby(runs(steps), lambda run: run[0].name):
        reached = [(run[0].servers, it.rate) for run in of if (it := best(run))]
        if len(reached) > 1 and reached[0][0] == 1:
            law = scaling.universal(*zip(*reached, strict=True))
            points = ", ".join(f"{n}: {rate:,} (law {law(n):,.0f})" for n, rate in reached)
            parts.append(
                f"Requests a second by servers, {name}: {points}. "
                f"Contention {law.contention:.3f}, crosstalk {law.crosstalk:.3f}."
            )
    return "\n\n".join(parts)


def soak(it: dict[str, Any]) -> str:
    """The half hour."""
    rows = [
        [
            str(number), f"{quarter['p50_ms']:.1f} ms", f"{quarter['p99_ms']:.1f} ms",
            *(f"{quarter[name]:.3f}" for name in ("server_cpus", "mysql_cpus", "k6_cpus")),
            *(f"{quarter[name]:.1f}" for name in ("server_memory", "mysql_memory")),
        ]
        for number, quarter in enumerate(it["quarters"], 1)
    ]  # fmt: skip
    header = ["quarter", "p50", "p99", "CPUs: server", "MySQL", "k6", "MiB: server", "MySQL"]
    return (
        f"### Soak\n\n{it['rate']:,} requests a second for {it['seconds'] // 60} minutes: "
        f"{it['requests']:,} requests, {it['failed']} failed, {it['dropped']} dropped. "
        f"{it['acknowledged']:,} posts were acknowledged, and {it['messages']:,} messages were in "
        f"MySQL then, of {it['bytes_each']:.0f} bytes each with their indexes. The server's memory "
        f"changed by {it['memory_growth']:+.1%} over the run, by a straight line through what was "
        f"seen after the first quarter.\n\n{table(header, rows)}"
    )
