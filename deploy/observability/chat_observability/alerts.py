"""The alerts. Somebody is woken only when users notice, or soon will without any other sign."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chat_observability import recording
from chat_observability.expressions import Expressions
from chat_observability.objectives import Objectives, seconds

# Shares of a limit. What is left is the time to act.
CONNECTIONS_NEAR = 0.9
QUEUE_NEAR = 0.8
POOL_NEAR = 0.9
CPU_NEAR = 0.9

JOB = "{{ or $labels.job `chat-server` }}"
INSTANCE = "{{ $labels.instance }}"
SHARE = "{{ $value | humanizePercentage }}"


@dataclass(frozen=True)
class Alert:
    """`wait` is for how long it must be so."""

    name: str
    severity: str
    wait: str
    expr: str
    summary: str
    description: str

    def rule(self, objectives: Objectives) -> dict[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{objectives.runbook}#{self.name.lower()}",
            },
        }


def all_alerts(x: Expressions) -> Iterator[Alert]:
    """In the order of the runbook."""
    yield from _replicas(x)
    yield from _burning(x.objectives)
    yield _apdex(x.objectives)
    yield from _limits(x)
    yield from _database(x)


def _replicas(x: Expressions) -> Iterator[Alert]:
    up, ready = x.series("up"), x.series("chat_server_ready")
    yield Alert(
        "ChatServerDown",
        "page",
        "1m",
        f"max by ({x.by}) ({up}) == 0\nor\nmax by ({x.by}) ({ready}) == 0\nor\nabsent({up})",
        f"No replica of {JOB} serves",
        "None answers Prometheus, none is ready, or Prometheus knows of none.",
    )
    yield Alert(
        "ChatReplicaDown",
        "ticket",
        "5m",
        f"{up} == 0",
        f"{INSTANCE} does not answer Prometheus",
        "The process is gone, hangs, or cannot be reached. Other replicas may still serve.",
    )
    yield Alert(
        "ChatReplicaNotReady",
        "ticket",
        "5m",
        f"{ready} == 0",
        f"{INSTANCE} is not ready",
        "It runs but /readyz says no: its database does not serve, or it cannot end.",
    )


def _burning(objectives: Objectives) -> Iterator[Alert]:
    bad = {
        "availability": "ended with 5xx",
        "latency": f"took longer than {objectives.latency_seconds:g} s",
    }
    for slo in objectives.slos:
        for severity, speed in (("page", "Fast"), ("ticket", "Slow")):
            rates = [rate for rate in objectives.burn_rates if rate.severity == severity]
            conditions = []
            for rate in rates:
                above = f'{{slo="{slo.name}"}} > {rate.factor:g} * {slo.budget:g}'
                enough = f'{{slo="{slo.name}"}} >= {objectives.bad_requests_min}'
                conditions.append(
                    f"(\n  {recording.ratio(rate.long)}{above}\n"
                    f"  and\n  {recording.ratio(rate.short)}{above}\n"
                    f"  and\n  {recording.count(rate.long)}{enough}\n)"
                )
            least = min(rate.factor for rate in rates)
            spans = " or ".join(rate.long for rate in rates)
            yield Alert(
                f"Chat{slo.name.title()}{speed}Burn",
                severity,
                "",
                "\nor\n".join(conditions),
                f"{SHARE} of the requests to {JOB} {bad[slo.name]}",
                f"Over the last {spans}, and still: at least {least:g} × what the budget of"
                f" {100 * slo.budget:g} % in {objectives.period_days} days allows.",
            )


def _apdex(objectives: Objectives) -> Alert:
    apdex, requests = (
        f"job:http_apdex:ratio{recording.BASE}",
        f"job:http_requests:rate{recording.BASE}",
    )
    window = seconds(recording.BASE)
    return Alert(
        "ChatApdexLow",
        "ticket",
        "10m",
        f"{apdex} < {objectives.apdex_goal:g}\nand\n"
        f"{window} * {requests} >= {objectives.apdex_requests_min}",
        f"The Apdex of {JOB} is {{{{ $value | printf `%.2f` }}}}",
        f"Its goal is {objectives.apdex_goal:g} with T = {objectives.apdex_t_seconds:g} s: too many"
        " requests are slow, fail, or are given up by their clients.",
    )


def _limits(x: Expressions) -> Iterator[Alert]:
    connections, most = (x.series(f"chat_server_connections{part}") for part in ("", "_limit"))
    # One queue has a limit; only that one is left by the division.
    waiting, places = (x.series(f"chat_queue_{part}") for part in ("pending", "limit"))
    cpu = f"rate({x.series('process_cpu_time_seconds_total')}[{x.window}])"
    yield Alert(
        "ChatConnectionsNearLimit",
        "page",
        "2m",
        f"{connections} / ({most} > 0) > {CONNECTIONS_NEAR}",
        f"{INSTANCE} has {SHARE} of the connections that it may have",
        "The requests of clients beyond MAX_CONNECTIONS are answered with 503, and connections"
        " beyond 256 of those are closed unheard, which no availability shows.",
    )
    yield Alert(
        "ChatPostQueueNearlyFull",
        "ticket",
        "1m",
        f"{waiting} / ({places} > 0) > {QUEUE_NEAR}",
        f"{SHARE} of the places for waiting posts are taken on {INSTANCE}",
        "Posts come faster than the database commits. Beyond WRITE_QUEUE they get 503 overloaded.",
    )
    yield Alert(
        "ChatCpuNearLimit",
        "ticket",
        "10m",
        f"{cpu} / ({x.series('chat_process_cpu_limit')} > 0) > {CPU_NEAR}",
        f"{INSTANCE} uses {SHARE} of the CPU that it may use",
        "It will be throttled, and answers get slower.",
    )


def _database(x: Expressions) -> Iterator[Alert]:
    troubles = x.increase(
        "db_client_operation_duration_seconds_count", 'error_type!=""', by="instance, error_type"
    )
    reads = 'db_client_connection_pool_name="reads"'
    used = x.series("db_client_connection_count", reads, 'db_client_connection_state="used"')
    most = x.series("db_client_connection_max", reads)
    yield Alert(
        "ChatDatabaseTrouble",
        "ticket",
        "1m",
        f"{troubles} >= {x.objectives.bad_requests_min}",
        f"Operations of {INSTANCE} on the database fail: {{{{ $labels.error_type }}}}",
        f"{{{{ $value | humanize }}}} in the last {x.window}.",
    )
    yield Alert(
        "ChatDatabasePoolExhausted",
        "ticket",
        "5m",
        f"avg_over_time({used}[{x.window}])\n"
        f"/ ignoring (db_client_connection_state)\n({most} > 0)\n>= {POOL_NEAR}",
        f"{SHARE} of the database connections for reads are in use on {INSTANCE}",
        "Reads of older pages and single messages wait for each other. The latest messages, users"
        " and posts have their own share of the connections.",
    )
