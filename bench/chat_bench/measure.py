"""One measurement: a warm-up, then load for some seconds, and what it cost."""

import time
from dataclasses import asdict, dataclass

from chat_bench import wrk
from chat_bench.databases import NAMES, Database
from chat_bench.peers import Server
from chat_bench.processes import usage
from chat_bench.stolen import Stolen
from chat_bench.stats import duration, rounded

WARM_UP_SECONDS = 1
# A server counts as settled when it and its database use less than this part of one core.
SETTLED_CORES = 0.2
SETTLE_WINDOW = 0.1
SETTLE_SECONDS_MAX = 5
# A virtual machine's host may take processors away. What takes turns between many processes suffers
# more than what does not, so a sample that lost more than this part of them is taken again.
STOLEN_MAX = 0.05
TRIES_MAX = 4
# Roughly what starting, seeding and stopping take, for estimates only.
OVERHEAD_SECONDS = 1.5

WORKLOADS = ["read", "post", "mixed", "users"]


@dataclass(frozen=True)
class Sample:
    """What is kept of a measurement. Processor time is in microseconds per successful request."""

    rps: float
    p50_us: float
    p99_us: float
    p999_us: float
    requests: int
    seconds: float
    failed: int
    errors: dict[str, int]
    statuses: dict[str, int]
    server_cpu_us: float
    database_cpu_us: float
    client_cpu_us: float
    # Bytes resident in the server's processes: before the load, and at most ever since they began.
    idle_memory: int
    peak_memory: int
    # The part of the processors that the machine's host took away meanwhile.
    stolen: float

    def row(self, **where: object) -> dict[str, object]:
        """In the form of results.json, with the measured fields first."""
        return {**where, **asdict(self)}

    def __str__(self) -> str:
        text = f"{rounded(self.rps):>9}/s   p99 {duration(self.p99_us):>7}"
        sockets = sum(count for kind, count in self.errors.items() if kind != "status")
        text += f"   {self.failed} FAILED {self.statuses}" if self.failed else ""
        return text + (f"   {sockets} socket errors {self.errors}" if sockets else "")


def measure(
    server: Server,
    database: Database,
    workload: str,
    connections: int,
    seconds: int,
    names: int = NAMES,
) -> Sample:
    """Load on a server that is ready, with the processor time of all who take part."""
    idle = server.usage().resident
    wrk.load(server.port, workload, connections, WARM_UP_SECONDS, names)
    samples: list[Sample] = []
    while len(samples) < TRIES_MAX:
        _settle(server, database)
        sample = _measure(server, database, workload, connections, seconds, names, idle)
        if sample.stolen <= STOLEN_MAX:
            return sample
        samples.append(sample)
    return min(samples, key=lambda sample: sample.stolen)


def _measure(
    server: Server,
    database: Database,
    workload: str,
    connections: int,
    seconds: int,
    names: int,
    idle: int,
) -> Sample:
    stolen = Stolen.since_now()
    server_before, database_before = server.usage(), _database_cpu(database)
    outcome = wrk.load(server.port, workload, connections, seconds, names)
    server_after, database_after = server.usage(), _database_cpu(database)
    stolen_part = stolen.part()
    server.require_running()
    statuses = {}
    if outcome.failed:
        # Which ones is asked of a run that is not measured: counting them slows wrk down.
        statuses = wrk.load(server.port, workload, connections, 1, names, statuses=True).statuses

    def per_request(cpu_seconds: float) -> float:
        return cpu_seconds * 1e6 / max(1, outcome.successful)

    return Sample(
        rps=outcome.successful / outcome.seconds,
        p50_us=outcome.p50_us,
        p99_us=outcome.p99_us,
        p999_us=outcome.p999_us,
        requests=outcome.requests,
        seconds=outcome.seconds,
        failed=outcome.failed,
        errors=outcome.errors,
        statuses=statuses,
        server_cpu_us=per_request(server_after.cpu_seconds - server_before.cpu_seconds),
        database_cpu_us=per_request(database_after - database_before),
        client_cpu_us=per_request(outcome.client_cpu_seconds),
        idle_memory=idle,
        peak_memory=server_after.peak,
        stolen=stolen_part,
    )


def _settle(server: Server, database: Database) -> None:
    """Waits until the warm-up is really over.

    wrk leaves without its last answers, one for each connection. A slow server works on them for
    seconds, and until then counts their connections; the measurement should not pay for it.
    """

    def used() -> float:
        return server.usage().cpu_seconds + _database_cpu(database)

    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    before, busy = used(), True
    while busy and time.monotonic() < deadline:
        time.sleep(SETTLE_WINDOW)
        after = used()
        before, busy = after, (after - before) / SETTLE_WINDOW > SETTLED_CORES


def _database_cpu(database: Database) -> float:
    return usage(database.pid).cpu_seconds if database.pid else 0.0
