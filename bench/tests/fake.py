"""Results as a run would write them, of a machine where everything takes a round time."""

from typing import Any

WORKLOADS = ("read", "post", "mixed", "users")
RPS = {"chat-server": 40_000.0, "poem": 80_000.0, "axum": 5_000.0, "go": 4_000.0, "gunicorn": 800.0}


def sample(variant: str, **where: object) -> dict[str, Any]:
    rps = RPS[variant]
    latency = 256e6 / rps
    return {
        "variant": variant, **where, "rps": rps, "p50_us": latency, "p99_us": 2 * latency,
        "p999_us": 3 * latency, "requests": 1000, "seconds": 5.0, "failed": 0,
        "errors": {"status": 0, "timeout": 0}, "statuses": {}, "server_cpu_us": 1e6 / rps,
        "database_cpu_us": 5e5 / rps, "client_cpu_us": 8.0, "idle_memory": 12 << 20,
        "peak_memory": 20 << 20, "stolen": 0.01,
    }  # fmt: skip


def part(samples: list[dict[str, Any]], **settings: object) -> dict[str, Any]:
    return {
        "command": "bench/run all", "date": "2026-01-01", "commit": "0123abc", "finished": True,
        "settings": settings, "took_seconds": 60, "peers": {"axum": {"axum": "0.8.6"}},
        "database": {"version": "8.0.15", "sync_binlog": "1"}, "samples": samples,
    }  # fmt: skip


def results() -> dict[str, Any]:
    rounds = range(3)
    compared = [
        sample(variant, round=number, workload=workload, connections=connections)
        for number in rounds for workload in WORKLOADS for connections in (1, 256)
        for variant in RPS
    ]  # fmt: skip
    grown = [
        sample(variant, round=number, workload=workload, messages=messages, users=users)
        for number in rounds for workload in ("read", "post", "post-any", "users")
        for messages, users in ((100, 10), (1000, 1000), (10**7, 10**6))
        for variant in ("chat-server", "axum")
    ]  # fmt: skip
    opened = [
        sample(variant, round=number, open=count, idle=count - 256, idle_alive=count - 256,
               memory_each=9000.0)
        for number in rounds for count in (256, 10_000) for variant in ("chat-server", "go")
    ]  # fmt: skip
    alone = [
        sample(variant, round=number, workload=workload)
        for number in rounds for workload in ("read", "post") for variant in ("chat-server", "axum")
    ]  # fmt: skip
    started = [
        {"variant": "chat-server", "round": number, "file": file, "ready_us": 15e3,
         "idle_memory": 11 << 20}
        for number in rounds for file in ("new", "old")
    ]  # fmt: skip
    return {
        "machine": {
            "processor": "Some CPU", "cores": 2, "memory": 8 << 30, "kernel": "6.1",
            "system": "Debian", "sync_us": {"p50": 400.0, "p99": 900.0},
            "versions": {"wrk": "4.1.0"},
        },
        "compare": {"mysql": part(compared, rounds=3, seconds=5)},
        "growth": {"mysql": part(grown, rounds=3, seconds=3)},
        "connections": {"mysql": part(opened, active=256)},
        "latency": {"sqlite": part(alone, slices=3)},
        "start": {"sqlite": part(started, runs=3)},
    }  # fmt: skip
