"""What the server is meant to reach, and whether it does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chat_bench.peers import CEILING, OURS
from chat_bench.samples import (
    CONNECTIONS,
    DATABASES,
    GROWTH_TITLES,
    TITLES,
    Samples,
    peers_of,
    section,
    relative,
    sizes,
)
from chat_bench.stats import duration, memory, short, times

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Goal:
    """`least` is what must be, `beyond` what would be remarkable."""

    what: str
    least: float
    beyond: float
    measured: float
    unit: Callable[[float], str] = times

    @property
    def verdict(self) -> str:
        # Which way is better, the two goals say themselves.
        sign = 1 if self.beyond >= self.least else -1
        if sign * self.measured >= sign * self.beyond:
            return "exceeded"
        return "met" if sign * self.measured >= sign * self.least else "not met"

    def limit(self, value: float) -> str:
        return f"{'≥' if self.beyond >= self.least else '≤'} {self.unit(value)}"


def all_goals(results: dict[str, Any]) -> list[Goal]:
    """The ones for which there is a measurement."""
    mysql = section(results, "compare", "mysql")
    goals = list(_throughput(mysql.where(connections=CONNECTIONS)))
    for database in results.get("latency", {}):
        goals += _latency(section(results, "latency", database), DATABASES[database])
    for database in results.get("growth", {}):
        goals += _growth(section(results, "growth", database), DATABASES[database])
    goals += _connections(section(results, "connections", "mysql").where(variant=OURS))
    goals += _start(section(results, "start", "sqlite").where(variant=OURS))
    return goals


def _throughput(at: Samples) -> Iterator[Goal]:
    limits = [
        ("rps", "read", CEILING, "of the ceiling", 0.85, 0.95),
        ("rps", "post", CEILING, "of the ceiling", 0.55, 0.75),
        *(("rps", workload, "go", "× go", 8, 12) for workload in ("read", "post")),
        *(("rps", workload, "gunicorn", "× gunicorn", 40, 80) for workload in ("read", "post")),
        *(("p99_us", workload, "go", "99 %, of go’s", 0.15, 0.08) for workload in ("read", "post")),
    ]
    for field, workload, theirs, what, least, beyond in limits:
        ratio = at.where(workload=workload).ratio(field, OURS, theirs)
        if ratio:
            name = f"{TITLES[workload]}, {CONNECTIONS} connections: {what}"
            yield Goal(name, least, beyond, ratio.median)


def _latency(samples: Samples, database: str) -> Iterator[Goal]:
    for workload in samples.distinct("workload"):
        of = samples.where(workload=workload)
        for theirs in peers_of(of):
            if ratio := of.ratio("p50_us", OURS, theirs):
                what = f"{TITLES[workload]}, one client on {database}: latency, of {theirs}’s"
                yield Goal(what, 1.15, 1.05, ratio.median)


def _growth(samples: Samples, database: str) -> Iterator[Goal]:
    for workload in samples.distinct("workload"):
        line = relative(samples.where(variant=OURS, workload=workload))
        if line and line[-1] and len([value for value in line if value]) > 1:
            messages, users = sizes(samples)[-1]
            title = GROWTH_TITLES[workload]
            history = f"{short(messages)} messages of {short(users)} users on {database}"
            what = f"{title}, {history}: throughput, of a small database’s"
            yield Goal(what, 0.95, 1.0, line[-1])


def _connections(ours: Samples) -> Iterator[Goal]:
    steps = sorted(ours.distinct("open"))
    if len(steps) > 1:
        most, alone = ours.where(open=steps[-1]), ours.where(open=steps[0])
        ratio = most.median("rps") / alone.median("rps")
        yield Goal(f"{steps[-1]:,} open connections: throughput, of {steps[0]}’s", 0.9, 1.0, ratio)
        each = most.median("memory_each")
        yield Goal("Memory per idle connection", 20 * KIB, 10 * KIB, each, memory)


def _start(ours: Samples) -> Iterator[Goal]:
    if ours.rows:
        new = ours.where(file="new")
        yield Goal(
            "Resident memory when idle", 20 * MIB, 12 * MIB, ours.median("idle_memory"), memory
        )
        yield Goal(
            "Start to ready with a new SQLite file", 50e3, 20e3, new.median("ready_us"), duration
        )
