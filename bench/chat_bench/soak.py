"""Half of what one server on MySQL can do, for half an hour: does anything wear out?"""

from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from chat_bench import k6, machine, places
from chat_bench.capacity import MIB, MORE_SECONDS
from chat_bench.mysql import MySql
from chat_bench.peers import OURS, Peer
from chat_bench.watch import Watch

QUARTERS = 4


@dataclass(frozen=True)
class Quarter:
    """Processors in use; memory in MiB, at its end."""

    p50_ms: float
    p99_ms: float
    server_cpus: float
    mysql_cpus: float
    k6_cpus: float
    server_memory: float
    mysql_memory: float


def soak(rate: int, seconds: int) -> dict[str, Any]:
    """What k6/soak.ts says of it, and what each party used in each quarter."""
    with closing(MySql()) as mysql:
        url = mysql.fresh()
        with Peer(OURS, places.PEERS / OURS).serve(url) as server:
            server.wait_ready()
            settings = {"RATE": rate, "DURATION": f"{seconds}s"}
            with k6.start("soak", [server], settings) as load:
                pids = {"server": server.process.pid, "mysql": mysql.pid, "k6": load.process.pid}
                with Watch(pids) as watch:
                    found = load.summary(seconds + MORE_SECONDS)
            server.require_running()
        messages, _ = mysql.counts(url)
        bytes_each = _stored_bytes(mysql, url) / max(1, messages)
    return {
        "commit": machine.commit(),
        "date": str(date.today()),
        "rate": rate,
        "seconds": seconds,
        "passed": found["passed"],
        "requests": found["requests"],
        "failed": found["failed"],
        "dropped": found["dropped"],
        "memory_growth": found["metrics"]["server_memory_growth"]["values"]["value"],
        "messages": messages,
        "bytes_each": bytes_each,
        "quarters": [vars(_quarter(found, watch, number)) for number in range(QUARTERS)],
    }


def _quarter(found: Any, watch: Watch, number: int) -> Quarter:
    start = datetime.fromisoformat(found["started_at"]).timestamp()
    length = (watch.moments[-1].at - start) / QUARTERS
    during = start + number * length, start + (number + 1) * length
    name = f"http_req_duration{{expected_response:true,quarter:{number + 1}}}"
    times = found["metrics"][name]["values"]
    return Quarter(
        p50_ms=times["med"],
        p99_ms=times["p(99)"],
        server_cpus=watch.cores("server", *during),
        mysql_cpus=watch.cores("mysql", *during),
        k6_cpus=watch.cores("k6", *during),
        server_memory=watch.memory("server", during[1] - 1, during[1]) / MIB,
        mysql_memory=watch.memory("mysql", during[1] - 1, during[1]) / MIB,
    )


def _stored_bytes(mysql: MySql, url: str) -> int:
    """Of tables and their indexes on disk, without the binary log."""
    name = url.rpartition("/")[2]
    rows = mysql.query(
        "select sum(file_size) from information_schema.innodb_tablespaces"
        f" where name like '{name}/%'"
    )
    return int(rows[0][0])


def described(it: dict[str, Any]) -> str:
    """One line for the terminal."""
    p99 = ", ".join(f"{quarter['p99_ms']:.1f}" for quarter in it["quarters"])
    return (
        f"{it['requests']:,} requests at {it['rate']}/s, {it['failed']} failed, "
        f"{it['dropped']} dropped; p99 of the quarters {p99} ms; "
        f"memory {it['memory_growth']:+.1%}; {it['messages']:,} messages stored"
    )
