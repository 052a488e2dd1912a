"""How much one server and more on one MySQL can do, and what a request costs each party."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from chat_bench import k6, machine, places
from chat_bench.mysql import MySql
from chat_bench.peers import OURS, Peer, Server
from chat_bench.quota import Quota
from chat_bench.stolen import Stolen
from chat_bench.watch import Watch

MIB = 1 << 20
# What is measured: with all that the machine has, and with less.
UNLIMITED, SERVERS, MYSQL = "no limits", "servers limited", "MySQL limited"
STEPS_MAX = 20
WARM_UP_SECONDS = 10
MORE_SECONDS = 120  # What a run may take beside its load.
# k6/breakpoint.ts does not judge the first part of a step either; drops it counts from the start.
SETTLING = 0.25


@dataclass(frozen=True)
class Setting:
    """What is measured: so many servers, and what they and MySQL may use, in processors."""

    name: str
    servers: int
    first: int
    step: int
    server_cpus: float | None = None
    mysql_cpus: float | None = None


@dataclass(frozen=True)
class Step:
    """One rate for a while. `…_cpus` are processors in use, memory is in MiB."""

    name: str
    servers: int
    rate: int
    requests: float
    dropped: int
    p50_ms: float
    p99_ms: float
    # As the servers measured it: in the worst five seconds of the worst of them, if they told.
    inner_p99_ms: float | None
    held: bool
    failed: Sequence[str]
    servers_cpus: float
    mysql_cpus: float
    k6_cpus: float
    idle_cpus: float
    server_memory: float
    mysql_memory: float


@dataclass(frozen=True)
class Climb:
    """What came of a setting, and when. `stolen` is what the machine's host took, 0 to 1."""

    commit: str
    date: str
    seconds: int
    stolen: float
    mysql: Mapping[str, str]
    steps: Sequence[Step]


def climb(setting: Setting, seconds: int) -> Climb:
    """Raises the rate step by step, each so many seconds, until the objectives do not hold."""
    stolen = Stolen.since_now()
    with ExitStack() as stack:
        mysql, servers = _start(stack, setting)
        settings = {
            "RATE": setting.first, "STEP": setting.step, "DURATION": f"{seconds}s",
            "MAX_RATE": setting.first + (STEPS_MAX - 1) * setting.step,
        }  # fmt: skip
        warm = {"RATE": setting.first, "DURATION": f"{WARM_UP_SECONDS}s"}
        with k6.start("load", servers, warm) as warming:
            warming.summary(WARM_UP_SECONDS + MORE_SECONDS)
        load = stack.enter_context(k6.start("breakpoint", servers, settings))
        pids = [server.process.pid for server in servers]
        named = dict(zip(_names(setting), pids, strict=True))
        with Watch({**named, "mysql": mysql.pid, "k6": load.process.pid}) as watch:
            found = load.summary(STEPS_MAX * seconds + MORE_SECONDS)
        for server in servers:
            server.require_running()
        facts = mysql.facts()
    return Climb(
        commit=machine.commit(),
        date=str(date.today()),
        seconds=seconds,
        stolen=stolen.part(),
        mysql=facts,
        steps=steps_of(setting, watch, found, seconds),
    )


def steps_of(setting: Setting, watch: Watch, found: Any, seconds: int) -> list[Step]:
    """What k6 says of each step, and who used what in it."""
    numbers = range(len(found["steps"]))
    return [_step(setting, watch, found, number, seconds) for number in numbers]


def _start(stack: ExitStack, setting: Setting) -> tuple[MySql, list[Server]]:
    """MySQL and the servers, within their limits."""

    # Entered before the processes, since a group can be removed only when it is empty.
    def quota(name: str, cpus: float | None) -> Quota | None:
        return stack.enter_context(closing(Quota(name, cpus))) if cpus else None

    quotas = [quota(name, setting.server_cpus) for name in _names(setting)]
    limit = quota("mysql", setting.mysql_cpus)
    mysql = stack.enter_context(closing(MySql()))
    url = mysql.fresh()
    ours = Peer(OURS, places.PEERS / OURS)
    servers = [stack.enter_context(ours.serve(url, quota)).wait_ready() for quota in quotas]
    if limit:
        limit.take(mysql.pid)
    return mysql, servers


def _names(setting: Setting) -> list[str]:
    return [f"server-{number}" for number in range(setting.servers)]


def _step(setting: Setting, watch: Watch, found: Any, number: int, seconds: int) -> Step:
    it = found["steps"][number]
    start = datetime.fromisoformat(found["started_at"]).timestamp() + number * seconds
    end = min(start + seconds, watch.moments[-1].at)
    # The last step can be broken off, and before it has settled.
    during = min(start + SETTLING * seconds, end - 2), end
    names = _names(setting)
    return Step(
        name=setting.name,
        servers=setting.servers,
        rate=it["rate"],
        requests=it["requests"] / (end - start),
        dropped=it["dropped"],
        p50_ms=it["response_ms"]["p50"],
        p99_ms=it["response_ms"]["p99"],
        inner_p99_ms=_inner_p99_ms(found["servers"], *during),
        held=it["held"],
        failed=it["failed"],
        servers_cpus=sum(watch.cores(name, *during) for name in names),
        mysql_cpus=watch.cores("mysql", *during),
        k6_cpus=watch.cores("k6", *during),
        idle_cpus=watch.cores("idle", *during),
        server_memory=max(watch.memory(name, *during) for name in names) / MIB,
        mysql_memory=watch.memory("mysql", *during) / MIB,
    )


def _inner_p99_ms(servers: Any, begin: float, end: float) -> float | None:
    """A server that was too busy to answer has no history."""
    histories = [server["history"] for server in servers if server.get("history")]
    worst = [
        1000 * point["p99_seconds"]
        for history in histories
        for point in history["points"]
        # `at` is where a point ends.
        if begin + history["step_seconds"] <= datetime.fromisoformat(point["at"]).timestamp() <= end
        and point["p99_seconds"] is not None
    ]
    return max(worst, default=None)


def described(it: Step) -> str:
    """One line for the terminal."""
    return (
        f"{it.name}, {it.servers} servers, {it.rate}/s: p99 {it.p99_ms:.1f} ms "
        f"(inside {it.inner_p99_ms or 0:.1f}), {it.dropped} dropped; CPUs {it.servers_cpus:.3f} + "
        f"{it.mysql_cpus:.3f} + {it.k6_cpus:.3f}, {it.idle_cpus:.2f} idle; "
        f"{it.server_memory:.0f} + {it.mysql_memory:.0f} MiB {'✓' if it.held else f'✗ {it.failed}'}"
    )
