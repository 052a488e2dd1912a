"""Writes docs/capacity/results.md."""

from collections.abc import Iterator, Sequence
from typing import Any

from chat_bench import places, tables
from chat_bench.capacity import MYSQL, UNLIMITED, SERVERS, Climb, Step
from chat_bench.report import folded, insert
from chat_bench.tables import table
from chat_bench.trouble import Trouble

NONE = "–"


def write(found: dict[str, Any]) -> None:
    """Replaces what is between the markers."""
    places.CAPACITY.write_text(insert(places.CAPACITY.read_text(), "\n\n".join(filter(None, body(found)))))
    print(f"Wrote {places.CAPACITY.relative_to(places.ROOT)}")


def body(found: dict[str, Any]) -> Iterator[str]:
    """The parts of the page that are made."""
    climbs = [climbed(it) for it in found.get("climbs", {}).values()]
    if not climbs:
        raise Trouble("Nothing was measured yet: bench/capacity --help")
    runs = [it.steps for it in climbs]
    yield where(found, climbs)
    yield highest(runs)
    yield cost(runs)
    yield "\n\n".join(filter(None, (added(name, runs) for name in (SERVERS, MYSQL))))
    if "soak" in found:
        yield soak(found["soak"])


def climbed(it: dict[str, Any]) -> Climb:
    """As it was before it was written to the file."""
    return Climb(**{**it, "steps": [Step(**step) for step in it["steps"]]})


def where(found: dict[str, Any], climbs: Sequence[Climb]) -> str:
    """The machine, and what was run on it."""
    when = dict.fromkeys(f"{it.date}, commit `{it.commit}`, {it.seconds} s a rate" for it in climbs)
    described = tables.machine(found["machine"], {}, climbs[0].mysql)
    stolen = max(it.stolen for it in climbs)
    took = f"The machine's host took {stolen:.1%} of its processors at most, on average of a climb."
    return f"## Where\n\n{described}\n\n`bench/capacity all`: {'; '.join(when)}. {took}"


def best(run: Sequence[Step]) -> Step | None:
    """The last one before the first that did not hold."""
    held = []
    for step in run:
        if not step.held:
            break
        held.append(step)
    return held[-1] if held else None


def highest(runs: Sequence[Sequence[Step]]) -> str:
    """What each setting reaches, and what gave way after that."""
    rows = []
    for run in runs:
        it, name = best(run), [run[0].name, str(run[0].servers)]
        after = next((step for step in run if not step.held), None)
        gave_way = ", ".join(missed(after)) if after else "nothing"
        if it is None:
            rows.append([*name, f"< {run[0].rate:,}", *[NONE] * 7, gave_way])
            continue
        cpus = [it.servers_cpus, it.mysql_cpus, it.k6_cpus, it.idle_cpus]
        rows.append([
            *name, f"{it.rate:,}", f"{it.p99_ms:.0f} ms",
            f"{it.inner_p99_ms:.0f} ms" if it.inner_p99_ms else NONE,
            *(f"{cpu:.3f}" for cpu in cpus), f"{after.rate:,}" if after else NONE, gave_way,
        ])  # fmt: skip
    header = [
        "", "servers", "requests/s", "p99", "p99 inside, worst 5 s", "CPUs: servers", "MySQL",
        "k6", "idle", "not held", "gave way",
    ]  # fmt: skip
    return "## The highest rates that hold the objectives\n\n" + table(header, rows)


def cost(runs: Sequence[Sequence[Step]]) -> str:
    """What requests cost, rate by rate."""
    free = [it for run in runs for it in run if it.name == UNLIMITED]
    limited = [it for run in runs for it in run if it.name != UNLIMITED]
    return "\n\n".join([
        "## What 1,000 requests cost",
        "No limits. CPU in seconds, memory in MiB.",
        cost_table(free),
        folded("With servers or MySQL limited", cost_table(limited)),
    ])  # fmt: skip


def cost_table(steps: Sequence[Step]) -> str:
    """A line for each rate."""
    rows = []
    for it in steps:
        costs = [1000 * cpus / it.requests for cpus in (it.servers_cpus, it.mysql_cpus, it.k6_cpus)]
        memory = [it.server_memory, it.mysql_memory]
        rows.append([
            it.name, str(it.servers), f"{it.rate:,}",
            *([f"{it.p50_ms:.1f} ms", f"{it.p99_ms:.0f} ms"] if it.p99_ms else [NONE, NONE]),
            *(f"{cpu:.3f}" if sent(it) else NONE for cpu in costs),
            *(f"{mib:.0f}" for mib in memory), f"{it.dropped:,}", verdict(it),
        ])  # fmt: skip
    header = [
        "", "servers", "requests/s", "p50", "p99", "CPU: all servers", "MySQL", "k6",
        "memory: each server", "MySQL", "dropped", "held",
    ]  # fmt: skip
    return table(header, rows)


def verdict(it: Step) -> str:
    """Or which objectives it missed."""
    return "✓" if it.held else f"✗ {', '.join(missed(it))}".strip()


def missed(it: Step) -> list[str]:
    """The metrics whose limits did not hold; none where k6 broke the step off for another one."""
    return list(dict.fromkeys(limit.split()[0] for limit in it.failed))


def sent(it: Step) -> bool:
    """Where k6 could not send at the rate, the costs are those of another one."""
    return it.requests >= 0.95 * it.rate


def added(name: str, runs: Sequence[Sequence[Step]]) -> str:
    """What more servers bring."""
    of = [run for run in runs if run[0].name == name]
    found = [(run[0].servers, it.rate) for run in of if (it := best(run))]
    shown = ", ".join(f"{n}: {rate:,}" for n, rate in found)
    return f"Requests a second by servers, {name}: {shown}." if len(found) > 1 else ""


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
        f"## Soak\n\n{it['rate']:,} requests a second for {it['seconds'] // 60} minutes, "
        f"{it['date']}, commit `{it['commit']}`, {'passed' if it['passed'] else 'FAILED'}: "
        f"{it['requests']:,} requests, {it['failed']} failed, {it['dropped']} dropped. "
        f"{it['messages']:,} messages were in MySQL then, of {it['bytes_each']:.0f} bytes each "
        f"with their indexes. The server's memory changed by {it['memory_growth']:+.1%} over the "
        "run, by a straight line through what was seen after the first quarter.\n\n"
        f"{table(header, rows)}"
    )
