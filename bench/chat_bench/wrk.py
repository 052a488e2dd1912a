"""Runs wrk, the client that makes the load, and understands what it prints."""

import json
import resource
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from chat_bench import places
from chat_bench.trouble import Disturbed, Trouble

# An answer that comes later than this counts as lost and not as slow, so it is longer than any
# measured time.
TIMEOUT_SECONDS = 10

# wrk ends within a tenth of a second, unless the whole machine is paused by its host.
LATE_SECONDS = 1

# Far above what a clock drifts, far below what would change a result.
CLOCK_STEP_SECONDS = 0.01


@dataclass(frozen=True)
class Outcome:
    """What wrk saw. Latencies are in microseconds and cover all answers, errors too."""

    requests: int
    seconds: float
    bytes: int
    p50_us: float
    p99_us: float
    p999_us: float
    # Answers that were not 2xx or 3xx, and sockets that failed, by kind.
    errors: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    client_cpu_seconds: float = 0.0

    @property
    def failed(self) -> int:
        return self.errors["status"]

    @property
    def successful(self) -> int:
        return self.requests - self.failed


def parse(output: str, client_cpu_seconds: float = 0.0) -> Outcome:
    """Reads the JSON line that bench/wrk/common.lua prints below wrk's own report."""
    line = next((line for line in output.splitlines() if line.startswith("{")), None)
    if line is None:
        raise Trouble(f"wrk printed no result:\n{output.strip()}")
    result: dict[str, Any] = json.loads(line)
    seconds = result.pop("duration_us") / 1e6
    return Outcome(seconds=seconds, client_cpu_seconds=client_cpu_seconds, **result)


def load(
    port: int,
    workload: str,
    connections: int,
    seconds: int,
    names: int = 10,
    statuses: bool = False,
) -> Outcome:
    """Makes as many requests as it can, one at a time on each connection."""
    # Two threads keep both cores of a small machine reachable for the client; one connection can
    # only have one.
    threads = min(2, connections)
    command = [
        "wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_SECONDS}s",
        f"--script={places.WRK / workload}.lua", f"http://{places.HOST}:{port}",
        "--", str(names), *(["statuses"] if statuses else []),
    ]  # fmt: skip
    before, offset = _cpu_of_children(), _clock_offset()
    try:
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 2 * TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise Disturbed(f"wrk did not end: {' '.join(command)}") from error
    _require_steady_clock(offset)
    if run.returncode:
        raise Trouble(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    outcome = parse(run.stdout, _cpu_of_children() - before)
    if outcome.seconds > seconds + LATE_SECONDS:
        raise Disturbed(f"the machine stood still: {seconds} s took {outcome.seconds:.1f} s")
    return outcome


def _clock_offset() -> float:
    return time.time() - time.monotonic()


def _require_steady_clock(before: float) -> None:
    """wrk measures by the clock on the wall, which a virtual machine may find set at any moment."""
    step = _clock_offset() - before
    if abs(step) > CLOCK_STEP_SECONDS:
        raise Disturbed(f"the machine’s clock was set by {step:+.3f} s during a measurement")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
