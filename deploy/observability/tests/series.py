"""The series that there are, and what an expression uses of them."""

import re
from dataclasses import dataclass

HTTP = {
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "error_type",
    "url_scheme",
}
DB = {"db_system_name", "db_operation_name", "db_collection_name", "error_type"}
POOL = {"db_client_connection_pool_name"}
TARGET = {"namespace", "job", "instance"}


def _histogram(name: str, labels: set[str]) -> dict[str, set[str]]:
    parts = {f"{name}_{part}": labels for part in ("sum", "count")}
    return {**parts, f"{name}_bucket": labels | {"le"}}


# What the server promises to export, each with its labels.
SERVER: dict[str, set[str]] = {
    **_histogram("http_server_request_duration_seconds", HTTP),
    "http_server_active_requests": {"http_request_method", "url_scheme"},
    "chat_server_connections": set(),
    "chat_server_connections_limit": set(),
    "chat_server_ready": set(),
    **_histogram("chat_batch_size", {"chat_queue_name"}),
    "chat_queue_pending": {"chat_queue_name"},
    "chat_queue_limit": {"chat_queue_name"},
    **_histogram("db_client_operation_duration_seconds", DB),
    "db_client_connection_count": POOL | {"db_client_connection_state"},
    "db_client_connection_max": POOL,
    "process_cpu_time_seconds_total": set(),
    "process_cpu_utilization_ratio": set(),
    "process_memory_usage_bytes": set(),
    "process_uptime_seconds": set(),
    "system_cpu_utilization_ratio": set(),
    "chat_process_cpu_limit": set(),
    "tokio_runtime_workers": set(),
    "tokio_runtime_alive_tasks": set(),
    "tokio_runtime_global_queue_depth": set(),
    "target_info": {"service_name", "service_version", "service_instance_id"},
}

# What Prometheus itself makes.
PROMETHEUS: dict[str, set[str]] = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
}

_STRING = r'"(?:[^"\\]|\\.)*"'
_OPERATORS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}


@dataclass(frozen=True)
class Used:
    """Each metric with the labels that select it, and the labels that group."""

    metrics: dict[str, set[str]]
    grouping: set[str]


def used(expression: str) -> Used:
    """Far from a parser, but every name that is no function, label or keyword is a metric."""
    text = re.sub(_STRING, '""', re.sub(r"#.*", "", expression))
    grouping: set[str] = set()
    for labels in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", text):
        grouping |= set(re.findall(r"\w+", labels))
    text = re.sub(r"\b(?:by|on|ignoring|without)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\[[^\]]*\]", " ", text)
    metrics: dict[str, set[str]] = {}
    for match in re.finditer(r"([A-Za-z_][\w:]*)(?:\{([^}]*)\})?(?!\w|:|\s*\()", text):
        name, selector = match.groups()
        if name not in _OPERATORS:
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector or ""))
            metrics.setdefault(name, set()).update(labels)
    return Used(metrics, grouping)
