"""What the Grafana dashboard shows. The first row is the seven metrics."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from chat_observability import recording
from chat_observability.expressions import DURATION, STATUS, Expressions
from chat_observability.grafana import (
    PROMETHEUS,
    Panel,
    Query,
    datasource_variable,
    graph,
    heatmap,
    label_variable,
    placed,
    stat,
    steps,
)
from chat_observability.objectives import Objectives

JOBS = 'namespace=~"$namespace",job=~"$job"'
REPLICAS = f'{JOBS},instance=~"$instance"'


def document(objectives: Objectives) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    now = Expressions(objectives, REPLICAS, recording.BASE)
    x = Expressions(objectives, REPLICAS, "$__rate_interval")
    rows: dict[str, Sequence[Panel]] = {
        "": _seven(now),
        "Objectives": _objectives(objectives),
        "Latency": _latency(x),
        "Errors": _errors(x),
        "Routes": _routes(x),
        "Database": _database(x),
        "Replicas": _replicas(x),
    }
    return {
        "uid": "chat-server",
        "title": "chat-server",
        "description": f"Made by deploy/observability/generate. {objectives.runbook}",
        "tags": ["chat-server"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "timepicker": {},
        "links": _links(objectives),
        "annotations": {"list": [_firing()]},
        "templating": {
            "list": [
                datasource_variable("datasource", "Metrics", "prometheus"),
                datasource_variable("traces", "Traces", "jaeger"),
                label_variable("namespace", "chat_server_ready"),
                label_variable("job", 'chat_server_ready{namespace=~"$namespace"}'),
                label_variable("instance", f"chat_server_ready{{{JOBS}}}"),
            ]
        },
        "panels": list(placed(rows)),
    }


def _seven(x: Expressions) -> list[Panel]:
    goal, t = x.objectives.apdex_goal, x.objectives.apdex_t_seconds
    target = x.objectives.slo("availability").ratio
    last = f"over the last {x.window}"
    errors = x.errors("server")
    return [
        stat(
            "Average response time", f"Mean {last}. It hides the slow ones: see Latency.",
            x.mean_seconds(), "s", 4,
            **steps("green", (t / 2, "yellow"), (t, "red")),
        ),
        stat(
            "Errors", f"Requests that ended with 5xx {last}. Others are under Errors.",
            errors, "short", 4, decimals=0, **steps("green", (1, "red")),
        ),
        stat(
            "Connected clients", "Open connections from clients.",
            x.connections(), "short", 4, decimals=0,
        ),
        stat("Request rate", f"Requests a second {last}.", x.requests(), "reqps", 3),
        stat(
            "CPU", f"Of what all replicas may use, {last}.",
            x.cpu(), "percentunit", 3, max=1, **steps("green", (0.7, "yellow"), (0.9, "red")),
        ),
        stat(
            "Availability", f"Requests that did not end with 5xx {last}. Goal: {target:.2%}.",
            x.availability(), "percentunit", 3,
            max=1, decimals=3, **steps("red", (target, "green")),
        ),
        stat(
            "Apdex", f"1 if every answer comes within {t:g} s {last}. Goal: {goal:g}.",
            x.apdex(), "none", 3,
            max=1, decimals=2, **steps("red", (goal, "green")),
        ),
    ]  # fmt: skip


def _objectives(objectives: Objectives) -> list[Panel]:
    left = [
        stat(
            f"{slo.name.title()} budget left",
            f"Of {slo.budget:.3%} bad requests in {objectives.period_days} days.",
            f'job:slo_budget_left:ratio{{{JOBS},slo="{slo.name}"}}',
            "percentunit",
            6,
            decimals=1,
            **steps("red", (0, "yellow"), (0.25, "green")),
            min=None,
        )
        for slo in objectives.slos
    ]
    burning = [
        Query(f'{recording.ratio(window)}{{{JOBS},slo="{slo.name}"}} / {slo.budget:g}',
              f"{slo.name} {window} {{{{job}}}}")
        for slo in objectives.slos
        for window in ("5m", "1h", "6h")
    ]  # fmt: skip
    description = "How many times faster than allowed the budgets are spent. 1 spends them exactly."
    return [*left, graph("Burn rate", description, "none", *burning)]


def _latency(x: Expressions) -> list[Panel]:
    least = f"{x.objectives.latency_seconds * 1000:g}ms"
    links = [_traces(x.objectives, "Slow traces", minDuration=least)]
    percentiles = [
        Query(x.quantile_seconds(quantile / 100), f"{quantile} %") for quantile in (50, 95, 99)
    ]
    buckets = x.increase(f"{DURATION}_bucket", by="le")
    return [
        graph(
            "Response time", "Mean and percentiles in the server, without the network. Buckets are a quarter wide.", "s",
            *percentiles, Query(x.mean_seconds(), "mean"), links=links,
        ),
        heatmap("Response times", "How many requests took how long.", "s",
                Query(buckets, "{{le}}"), links=links),
    ]  # fmt: skip


def _errors(x: Expressions) -> list[Panel]:
    codes = x.rate(f"{DURATION}_count", 'error_type!=""', by="error_type")
    errors = x.objectives.runbook.replace("runbook.md", "errors.md")
    what = {
        "title": "What is ${__field.labels.error_type}?",
        "url": f"{errors}#${{__field.labels.error_type}}",
        "targetBlank": True,
    }
    return [
        graph(
            "Errors by code", "Refused (4xx), failed (5xx) and given up (canceled).", "reqps",
            Query(codes, "{{error_type}}"), stacked=True,
            links=[what, _traces(x.objectives, "Failed traces", tags="error=true")],
        ),
        graph(
            "Answers by status", "Without a status: cut off.", "reqps",
            Query(x.rate(f"{DURATION}_count", by=STATUS), f"{{{{{STATUS}}}}}"), stacked=True,
        ),
        graph("Availability", "Requests that did not end with 5xx.", "percentunit",
              Query(x.availability(), "availability"), min=None, max=1),
        graph("Apdex", "Errors and requests that were cut off are frustrated.", "none",
              Query(x.apdex(), "Apdex"), max=1),
    ]  # fmt: skip


def _routes(x: Expressions) -> list[Panel]:
    legend = "{{http_request_method}} {{http_route}}"
    labels = "http_request_method, http_route"
    return [
        graph("Requests by route", "Without a route: unknown paths.", "reqps",
              Query(x.rate(f"{DURATION}_count", by=labels), legend), stacked=True),
        graph("99 % by route", "99 % of the answers came within it.", "s",
              Query(x.quantile_seconds(0.99, by=labels), legend)),
    ]  # fmt: skip


def _database(x: Expressions) -> list[Panel]:
    operation = "db_operation_name, db_collection_name"
    legend = "{{db_operation_name}} {{db_collection_name}}"
    took, size = "db_client_operation_duration_seconds", "chat_batch_size"
    batches = x.rate(f"{size}_sum", by="chat_queue_name")
    operations = x.rate(f"{size}_count", by="chat_queue_name")
    pool = "db_client_connection_pool_name"
    state = "db_client_connection_state"
    return [
        graph("Operations: 99 %", "99 % of the operations took no longer.", "s",
              Query(x.quantile_seconds(0.99, took, operation), legend)),
        graph("Operations", "Operations a second, and those that failed by kind.", "ops",
              Query(x.rate(f"{took}_count", by=operation), legend),
              Query(x.rate(f"{took}_count", 'error_type!=""', by="error_type"),
                    "failed: {{error_type}}")),
        graph("Sharing factor", "Requests that one operation serves, on average.", "none",
              Query(f"{batches}\n/\n({operations} > 0)", "{{chat_queue_name}}")),
        graph("Batch size: 99 %", "99 % of the operations served no more requests.", "none",
              Query(x.quantile_seconds(0.99, size, "chat_queue_name"), "{{chat_queue_name}}")),
        graph("Waiting for the database", "Requests in each queue, and its limit.", "short",
              Query(x.sum(x.series("chat_queue_pending"), "chat_queue_name"), "{{chat_queue_name}}"),
              Query(x.sum(x.series("chat_queue_limit"), "chat_queue_name"), "limit: {{chat_queue_name}}")),
        graph("Connections to the database", "Posts, shared reads and watching use the lanes.", "short",
              Query(x.sum(x.series("db_client_connection_count"), f"{pool}, {state}"),
                    f"{{{{{pool}}}}} {{{{{state}}}}}"),
              Query(x.sum(x.series("db_client_connection_max"), pool),
                    f"{{{{{pool}}}}} limit")),
    ]  # fmt: skip


def _replicas(x: Expressions) -> list[Panel]:
    process = (f"rate({x.series('process_cpu_time_seconds_total')}[{x.window}])"
               f" / ({x.series('chat_process_cpu_limit')} > 0)")  # fmt: skip

    def each(metric: str, what: str = "") -> Query:
        return Query(x.series(metric), f"{{{{instance}}}} {what}".strip())

    return [
        graph("CPU", "Of the limit of each replica, and of its whole machine.", "percentunit",
              Query(process, "{{instance}}"), each("system_cpu_utilization_ratio", "machine"),
              max=1),
        graph("Memory", "Resident memory.", "bytes", each("process_memory_usage_bytes")),
        graph("Clients", "Open connections, and how many there may be.", "short",
              each("chat_server_connections"), each("chat_server_connections_limit", "limit")),
        graph("Requests under way", "Requests without an answer yet.", "short",
              Query(x.sum(x.series("http_server_active_requests"), "instance"), "{{instance}}")),
        graph("Runtime", "Tasks alive and tasks that wait for a worker.", "short",
              each("tokio_runtime_alive_tasks", "tasks"),
              each("tokio_runtime_global_queue_depth", "waiting"),
              each("tokio_runtime_workers", "workers")),
        graph("Ready", "1 if requests may be sent to it.", "none", each("chat_server_ready"),
              max=1, decimals=0),
        graph("Uptime", "It falls when a replica restarts.", "s", each("process_uptime_seconds")),
        graph("Versions", "Replicas of each version.", "short",
              Query(x.sum(x.series("target_info"), "service_version"), "{{service_version}}"),
              stacked=True, decimals=0),
    ]  # fmt: skip


def _links(objectives: Objectives) -> list[dict[str, Any]]:
    plain = {"type": "link", "targetBlank": True, "asDropdown": False, "includeVars": False,
             "keepTime": False, "tags": []}  # fmt: skip
    traces = _traces(objectives, "Traces")
    return [
        {**plain, **traces, "icon": "bolt", "tooltip": "Latest traces"},
        {**plain, "title": "Runbook", "url": objectives.runbook, "icon": "doc",
         "tooltip": "What to do about an alert"},
    ]  # fmt: skip


def _traces(objectives: Objectives, title: str, **search: str) -> dict[str, Any]:
    """A link to a search in the data source for traces, over the time that is shown."""
    query = {"refId": "A", "queryType": "search", "service": objectives.service, **search}
    pane = {
        "datasource": "${traces}",
        "queries": [{**query, "datasource": {"type": "jaeger", "uid": "${traces}"}}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    text = quote(json.dumps({"traces": pane}, separators=(",", ":")), safe="")
    # Grafana replaces only variables that are written plainly.
    for variable in ("${traces}", "${__from}", "${__to}"):
        text = text.replace(quote(variable, safe=""), variable)
    return {"title": title, "url": f"/explore?schemaVersion=1&panes={text}", "targetBlank": True}


def _firing() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": PROMETHEUS,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        # A server that is gone has no job, and must not be left out.
        "expr": 'ALERTS{alertname=~"Chat.+",alertstate="firing",job=~"$job|"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{severity}}",
        "tagKeys": "severity",
        "step": "30s",
    }
