"""One minute of a server with good, bad and slow moments, as k6, /stats and Prometheus have seen it."""

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from servers import ROOT, Process, Server, free_address

RATE, SECONDS = 100, 60
LOCKED_AFTER, LOCKED_SECONDS = 20, 14
# Where the rate is even: k6 is at work, and every five seconds that /stats counts are wholly within.
MIDDLE = (5, 55)
# /stats counts processor time and connections each five seconds.
SETTLING_SECONDS = 7
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: chat-server
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True)
class Seen:
    """What each of them said. The server is new, so that its totals are those of the run."""

    k6: dict[str, Any]
    # The window of fifteen minutes, and of its steps those in the middle of the run.
    window: dict[str, Any]
    steps: list[dict[str, Any]]
    # The answer to each of QUERIES, by name; of errors, by code.
    prometheus: dict[str, float]
    prometheus_errors: dict[str, float]


_SECONDS = "http_server_request_duration_seconds"
_SERVED = f'{_SECONDS}_bucket{{{{http_response_status_code!~"5..|"'
_OVER = f"[{MIDDLE[1] - MIDDLE[0]}s] @ {{end}}"
# Of totals, since the server is new. What `rate` makes of them is the same but for the first values of each series, which
# it does not see: of failures that are new, some are missing in it.
QUERIES = {
    "requests": f"sum({_SECONDS}_count)",
    "rate": f"sum(rate({_SECONDS}_count{_OVER}))",
    "mean": f"sum({_SECONDS}_sum) / sum({_SECONDS}_count)",
    "p50": f"histogram_quantile(0.5, sum by (le) ({_SECONDS}_bucket))",
    "p99": f"histogram_quantile(0.99, sum by (le) ({_SECONDS}_bucket))",
    "connections": "max_over_time(chat_server_connections[5m])",
    "cpu": f"sum(rate(process_cpu_time_seconds_total{_OVER})) / sum(chat_process_cpu_limit)",
    "availability": f'1 - sum({_SECONDS}_count{{{{http_response_status_code=~"5.."}}}}) / sum({_SECONDS}_count)',
    "apdex": f'(sum({_SERVED}, le="0.5"}}}}) + sum({_SERVED}, le=~"2([.]0)?"}}}})) / 2 / sum({_SECONDS}_count)',
}
ERRORS = f'sum by (error_type) ({_SECONDS}_count{{error_type!=""}})'


def observe(folder: Path) -> Seen:
    """Takes a minute and a half."""
    with ExitStack() as stack:
        server = Server(folder)
        stack.callback(server.kill)
        prometheus = Prometheus(folder, server.operations)
        stack.callback(prometheus.kill)
        _load(folder, server, stack)
        time.sleep(SETTLING_SECONDS)
        summary = json.loads((folder / "summary.json").read_text())
        begun = datetime.fromisoformat(summary["started_at"]).timestamp()
        end = begun + MIDDLE[1]
        return Seen(
            k6=summary,
            window=fetch(f"{server.operations}/stats")["windows"][-1],
            steps=[
                point
                for point in fetch(f"{server.operations}/stats/history")["points"]
                if begun + MIDDLE[0] + 5 <= datetime.fromisoformat(point["at"]).timestamp() <= end
            ],
            prometheus={
                name: float(it["value"][1]) for name, query in QUERIES.items() for it in prometheus.ask(query.format(end=end))
            },
            prometheus_errors={
                it["metric"]["error_type"]: float(it["value"][1]) for it in prometheus.ask(ERRORS)
            },
        )


def _load(folder: Path, server: Server, stack: ExitStack) -> None:
    """That k6 is not content is what the lock is for; so only a run without a result is wrong."""
    settings = {"RATE": RATE, "DURATION": f"{SECONDS}s", "RESULTS": folder, "K6_WEB_DASHBOARD": "false"}
    settings |= {"BASE_URL": server.url, "OPERATIONS_URL": server.operations}
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    command = [ROOT / "k6" / "run", "errors"]
    with (folder / "k6.log").open("wb") as log:
        run = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    # k6 too, which the script has started. Mostly it has ended by then.
    stack.callback(_kill, run.pid)
    time.sleep(LOCKED_AFTER)
    with closing(sqlite3.connect(folder / "chat.db", timeout=10, isolation_level=None)) as other:
        other.execute("begin immediate")
        time.sleep(LOCKED_SECONDS)
        other.execute("rollback")
    run.wait()
    if not (folder / "summary.json").exists():
        raise SystemExit((folder / "k6.log").read_text())


def _kill(session: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


class Prometheus(Process):
    """Scrapes the server each second."""

    def __init__(self, folder: Path, operations: str) -> None:
        config = folder / "prometheus.yaml"
        config.write_text(CONFIG.format(target=operations.removeprefix("http://")))
        address = free_address()
        self.url = f"http://{address}"
        storage = f"--storage.tsdb.path={folder}/tsdb"
        command = ["prometheus", f"--config.file={config}", storage, f"--web.listen-address={address}"]
        super().__init__(folder / "prometheus.log", command)
        self.wait_until(lambda: self.ask("up == 1"))

    def ask(self, query: str) -> list[dict[str, Any]]:
        """An instant query."""
        return fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")["data"]["result"]


def fetch(url: str) -> Any:
    """The JSON that a GET answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
