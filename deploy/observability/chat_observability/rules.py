"""The file for Prometheus: recording rules, then alerts."""

from typing import Any

from chat_observability import alerts, recording
from chat_observability.expressions import Expressions
from chat_observability.objectives import Objectives

# Two environments in one Prometheus stay apart by their namespace; without any it is empty.
BY = "namespace, job"


def document(objectives: Objectives) -> dict[str, Any]:
    """Its groups."""
    x = Expressions(objectives, f'job=~"{objectives.job}"', recording.BASE, BY)
    groups = {
        "metrics": list(recording.metrics(x)),
        "objectives": list(recording.objectives(x)),
        "alerts": [alert.rule(objectives) for alert in alerts.all_alerts(x)],
    }
    return {
        "groups": [
            {
                "name": f"{objectives.service}-{name}",
                "interval": f"{recording.INTERVAL_SECONDS}s",
                "rules": rules,
            }
            for name, rules in groups.items()
        ]
    }
