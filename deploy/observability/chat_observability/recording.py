"""The recording rules: the seven metrics of each job, and how fast the budgets burn."""

from collections.abc import Iterator
from typing import Any

from chat_observability.expressions import ERROR_KINDS, TIMED, Expressions
from chat_observability.objectives import Objectives, seconds

# The window of all that is counted from raw series. Longer ones are made from its results, which
# are two series instead of thousands.
BASE = "5m"

# How often rules are evaluated. Counting requests over long windows relies on it.
INTERVAL_SECONDS = 30


def metrics(x: Expressions) -> Iterator[dict[str, Any]]:
    """The seven."""
    yield _record(f"job:http_requests:rate{BASE}", x.requests())
    yield _record(f"job:http_request_duration_seconds:mean{BASE}", x.mean_seconds())
    for kind in ERROR_KINDS:
        yield _record(f"job:http_errors:increase{BASE}", x.errors(kind), kind=kind)
    yield _record("job:chat_connections:sum", x.connections())
    yield _record(f"job:process_cpu:ratio{BASE}", x.cpu())
    yield _record(f"job:http_availability:ratio{BASE}", x.availability())
    yield _record(f"job:http_apdex:ratio{BASE}", x.apdex())


def objectives(x: Expressions) -> Iterator[dict[str, Any]]:
    """Shares and numbers of bad requests over all windows that alerts look at."""
    requests, bad = f"job:slo_requests:rate{BASE}", f"job:slo_bad_requests:rate{BASE}"
    yield _record(requests, x.requests(), slo="availability")
    yield _record(requests, x.requests(TIMED), slo="latency")
    yield _record(bad, x.failed(), slo="availability")
    yield _record(bad, x.slow(), slo="latency")
    yield _record(ratio(BASE), f"{bad} / ({requests} > 0)")
    for window in windows(x.objectives):
        whole = f"sum_over_time({requests}[{window}])"
        yield _record(ratio(window), f"sum_over_time({bad}[{window}]) / ({whole} > 0)")
    for window in dict.fromkeys(rate.long for rate in x.objectives.burn_rates):
        yield _record(count(window), f"{INTERVAL_SECONDS} * sum_over_time({bad}[{window}])")
    for slo in x.objectives.slos:
        spent = f'{ratio(x.objectives.period)}{{slo="{slo.name}"}}'
        yield _record("job:slo_budget_left:ratio", f"1 - {spent} / {slo.budget:g}", slo=slo.name)


def ratio(window: str) -> str:
    """The series with the share of bad requests."""
    return f"job:slo_bad_requests:ratio{window}"


def count(window: str) -> str:
    """The series with the number of bad requests."""
    return f"job:slo_bad_requests:count{window}"


def windows(objectives: Objectives) -> list[str]:
    """All but the base, the shortest first."""
    used = {window for rate in objectives.burn_rates for window in (rate.long, rate.short)}
    return sorted({*used, objectives.period} - {BASE}, key=seconds)


def _record(name: str, expr: str, **labels: str) -> dict[str, Any]:
    return {"record": name, "expr": expr, **({"labels": labels} if labels else {})}
