"""The load tests in k6/ as a measuring instrument."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chat_bench import places
from chat_bench.peers import Server
from chat_bench.processes import die_with_parent
from chat_bench.trouble import Trouble, tail

RUN = places.ROOT / "k6" / "run"
# More of them would be a load themselves. So many answers can be under way: at 1,200 requests a
# second, those of a quarter of a second.
CLIENTS = 300
# k6 collects its garbage more seldom, in twice the memory, and so makes fewer answers slow itself.
GOGC = 400


@dataclass
class Load:
    """One script under way. As a context manager it is stopped in any case."""

    process: subprocess.Popen[bytes]
    results: Path
    log: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Its session is its own: k6 as well as the script that has started it.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def summary(self, seconds: float) -> dict[str, Any]:
        """What it found, after so many seconds at most."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise Trouble(f"k6 has not ended after {seconds:.0f} s:\n{tail(self.log)}") from late
        file = self.results / "summary.json"
        if not file.exists():
            ended = f"k6 ended with {self.process.returncode} and no result"
            raise Trouble(f"{ended}:\n{tail(self.log)}")
        return json.loads(file.read_text())


def start(script: str, servers: Sequence[Server], settings: Mapping[str, object]) -> Load:
    """Begins to put load on the servers, which clients take in turns."""
    results = places.TARGET / "k6" / script
    results.mkdir(parents=True, exist_ok=True)
    addresses = ",".join(f"http://{places.HOST}:{server.port}" for server in servers)
    given = {
        "BASE_URL": addresses, "OPERATIONS_URL": addresses, "RESULTS": results,
        "MAX_VUS": CLIENTS, "TRACE_SAMPLED": 0, "K6_WEB_DASHBOARD": "false", "GOGC": GOGC,
        **settings,
    }  # fmt: skip
    log = places.LOGS / f"k6-{script}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [RUN, script], env={**os.environ, **{name: str(it) for name, it in given.items()}},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
    return Load(process, results, log)
