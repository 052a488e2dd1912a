"""The objectives as k6 reads them."""

from typing import Any

from chat_observability.objectives import Objectives


def document(objectives: Objectives) -> dict[str, Any]:
    """`thresholds` goes into a script's options as it is; `apdex` says how to fill the trend."""
    t_milliseconds = round(objectives.apdex_t_seconds * 1000)
    slo = {slo.name: slo for slo in objectives.slos}
    return {
        "apdex": {"satisfied_ms": t_milliseconds, "tolerating_ms": 4 * t_milliseconds},
        "thresholds": {
            "http_req_failed": [f"rate<={slo['availability'].budget:g}"],
            "http_req_duration{expected_response:true}": [
                f"p({100 * slo['latency'].ratio:g})<={objectives.latency_seconds * 1000:g}"
            ],
            "apdex": [f"avg>={objectives.apdex_goal:g}"],
        },
    }
