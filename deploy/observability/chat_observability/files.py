"""Which files are made, and whether they are as they should be."""

from pathlib import Path

from chat_observability import dashboard, objectives, rules, thresholds
from chat_observability.objectives import Objectives
from chat_observability.text import as_json, as_yaml

HEADING = "Made by deploy/observability/generate from objectives.json: change those."


def contents(found: Objectives) -> dict[str, str]:
    """The text of each file, by its path from this folder."""
    alerts = as_yaml(rules.document(found), HEADING)
    board = as_json(dashboard.document(found))
    limits = as_json(thresholds.document(found))
    return {
        "prometheus/rules.yaml": alerts,
        "grafana/chat-server.json": board,
        "../../k6/lib/thresholds.json": limits,
    }


def stale(folder: Path) -> dict[Path, str]:
    """The files that differ or are missing, each with the text that it should have."""
    texts = contents(objectives.load(folder / "objectives.json"))
    paths = {(folder / name).resolve(): text for name, text in texts.items()}
    return {
        path: text
        for path, text in paths.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
