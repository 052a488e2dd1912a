"""What requests cost at rising rates, with one server and with more on one MySQL, as k6 loads them."""

import json
import math
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chat_bench import places
from chat_bench.mysql import MySql
from chat_bench.peers import OURS, Peer, Server
from chat_bench.processes import usage
from chat_bench.trouble import Trouble

K6 = places.ROOT / "k6" / "run"
K6_SECONDS_MORE = 120  # What a run may take beside its load.
WARM_UP_SECONDS = 5
MIB = 1 << 20
PARTIES = ["server", "mysql", "k6"]


@dataclass(frozen=True)
class Step:
    """One rate for a while. Processor times are seconds for 1,000 requests."""

    servers: int
    rate: int
    requests: int
    dropped: int
    p50_ms: float
    p99_ms: float
    held: bool
    server_cpu: float
    mysql_cpu: float
    k6_cpu: float
    # Of each server the most, in MiB.
    server_memory: float
    mysql_memory: float
    # The share of the machine that was not used.
    idle: float


def measure(servers: int, rates: Sequence[int], seconds: int) -> list[Step]:
    """Raises the rate until the objectives do not hold any more."""
    steps = []
    with ExitStack() as stack:
        mysql = stack.enter_context(closing(MySql()))
        url = mysql.fresh()
        ours = Peer(OURS, places.PEERS / OURS)
        running = [stack.enter_context(ours.serve(url)) for _ in range(servers)]
        for server in running:
            server.wait_ready()
        load(running, rates[0], WARM_UP_SECONDS)
        for rate in rates:
            steps.append(step(mysql, running, rate, seconds))
            print(described(steps[-1]), flush=True)
            if not steps[-1].held:
                break
    return steps


def step(mysql: MySql, servers: Sequence[Server], rate: int, seconds: int) -> Step:
    """Looks at everybody's processor time before and after."""
    if mysql.pid is None:
        raise Trouble("MySQL does not run")
    before = [server.usage().cpu_seconds for server in servers], usage(mysql.pid).cpu_seconds
    client, idle, begun = children(), idle_seconds(), time.monotonic()
    found = load(servers, rate, seconds)
    elapsed = time.monotonic() - begun
    thousands = found["requests"] / 1000
    ours = sum(server.usage().cpu_seconds for server in servers) - sum(before[0])
    return Step(
        servers=len(servers),
        rate=rate,
        requests=found["requests"],
        dropped=found["dropped"],
        p50_ms=found["response_ms"]["p50"],
        p99_ms=found["response_ms"]["p99"],
        held=found["passed"],
        server_cpu=ours / thousands,
        mysql_cpu=(usage(mysql.pid).cpu_seconds - before[1]) / thousands,
        k6_cpu=(children() - client) / thousands,
        server_memory=max(server.usage().peak for server in servers) / MIB,
        mysql_memory=usage(mysql.pid).peak / MIB,
        idle=(idle_seconds() - idle) / elapsed / (os.cpu_count() or 1),
    )


def load(servers: Sequence[Server], rate: int, seconds: int) -> dict[str, Any]:
    """What k6 says of a run of `load`."""
    results = places.TARGET / "capacity"
    addresses = ",".join(f"http://{places.HOST}:{server.port}" for server in servers)
    environment = {
        **os.environ, "BASE_URL": addresses, "OPERATIONS_URL": addresses, "RATE": str(rate),
        "DURATION": f"{seconds}s", "RESULTS": str(results), "TRACE_SAMPLED": "0",
        "K6_WEB_DASHBOARD": "false",
    }  # fmt: skip
    run = subprocess.run(
        [str(K6), "load"], env=environment, capture_output=True, text=True, check=False,
        timeout=seconds + K6_SECONDS_MORE,
    )  # fmt: skip
    summary = results / "summary.json"
    if not summary.exists():
        raise Trouble(f"k6 told no result: {run.stdout[-500:]}{run.stderr[-500:]}")
    return json.loads(summary.read_text())


def children() -> float:
    """Processor time of what we started and waited for: k6."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def idle_seconds() -> float:
    """Of all cores together, the time in which they waited for nothing."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def exponent(rates: Sequence[float], costs: Sequence[float]) -> float:
    """p of cost = k × rate^p, by least squares of the logarithms."""
    xs, ys = [math.log(rate) for rate in rates], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    along = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / along


def described(it: Step) -> str:
    """One line for the terminal."""
    return (
        f"{it.servers} servers, {it.rate}/s: p99 {it.p99_ms:.1f} ms, {it.dropped} dropped, CPU "
        f"{it.server_cpu:.3f} + {it.mysql_cpu:.3f} + {it.k6_cpu:.3f} s a thousand, "
        f"{it.server_memory:.0f} and {it.mysql_memory:.0f} MiB, {it.idle:.0%} idle"
        f"{'' if it.held else ': not held'}"
    )


def rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """For the file of results."""
    return [asdict(step) for step in steps]


def tables(steps: Sequence[Step]) -> str:
    """As Markdown: each step, and how the costs grow."""
    heads = ["servers", "requests a second", "p50", "p99", "CPU s a 1,000: servers", "MySQL", "k6"]
    lines = head([*heads, "memory: a server", "MySQL", "machine idle", "objectives"])
    lines += [row(cells(it)) for it in steps]
    lines += ["", *head(["servers", "cost of the servers grows with", "of MySQL", "of k6"])]
    for servers in dict.fromkeys(it.servers for it in steps):
        held = [it for it in steps if it.servers == servers and it.held]
        if len(held) > 1:
            rates = [it.rate for it in held]
            costs = [[getattr(it, f"{who}_cpu") for it in held] for who in PARTIES]
            lines.append(row([servers, *(f"rate^{exponent(rates, cost):.2f}" for cost in costs)]))
    return "\n".join(lines)


def cells(it: Step) -> list[object]:
    """A step as the table shows it."""
    costs = [f"{getattr(it, f'{who}_cpu'):.3f}" for who in PARTIES]
    memory = [f"{it.server_memory:.0f} MiB", f"{it.mysql_memory:.0f} MiB"]
    held = "held" if it.held else f"not held, {it.dropped:,} dropped"
    times = [f"{it.p50_ms:.1f} ms", f"{it.p99_ms:.1f} ms"]
    return [it.servers, f"{it.rate:,}", *times, *costs, *memory, f"{it.idle:.0%}", held]


def head(names: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [row(names), row(["---"] * len(names))]


def row(cells: Sequence[object]) -> str:
    """One line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
