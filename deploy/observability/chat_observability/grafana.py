"""The building blocks of a Grafana dashboard (11 or newer), and their places on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


@dataclass(frozen=True)
class Query:
    """An expression and what its lines are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel without its place."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int = 12
    height: int = 8
    defaults: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    query_format: str = "time_series"

    def body(self) -> dict[str, Any]:
        targets = [
            {
                "refId": chr(ord("A") + number),
                "datasource": PROMETHEUS,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "format": self.query_format,
                "range": True,
                "exemplar": self.kind != "stat",
            }
            for number, query in enumerate(self.queries)
        ]
        given = {name: value for name, value in self.defaults.items() if value is not None}
        return {
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": PROMETHEUS,
            "targets": targets,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "noValue": "–", **given},
                "overrides": [],
            },
            "options": self.options,
        }


def steps(base: str, *above: tuple[float, str]) -> dict[str, Any]:
    """Colours from values on."""
    first: list[dict[str, Any]] = [{"color": base, "value": None}]
    rest = [{"color": color, "value": value} for value, color in above]
    return {"thresholds": {"mode": "absolute", "steps": first + rest}}


def stat(title: str, description: str, expr: str, unit: str, width: int, **defaults: Any) -> Panel:
    """One number over its course."""
    plain: dict[str, Any] = {"color": {"mode": "thresholds"}, **steps("text"), "min": 0}
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    queries = [Query(expr, title)]
    return Panel("stat", title, description, queries, unit, width, 5, plain | defaults, options)


def graph(
    title: str, description: str, unit: str, *queries: Query, stacked: bool = False, **defaults: Any
) -> Panel:
    """Lines over time; where there is no value, there is a gap."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    options = {
        "legend": {
            "calcs": ["mean", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    own = {"custom": custom, "min": 0, **defaults}
    return Panel("timeseries", title, description, queries, unit, defaults=own, options=options)


def heatmap(title: str, description: str, unit: str, query: Query, **defaults: Any) -> Panel:
    """A histogram over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    return Panel(
        "heatmap", title, description, [query], unit,
        defaults=defaults, options=options, query_format="heatmap",
    )  # fmt: skip


def placed(rows: dict[str, Sequence[Panel]]) -> Iterator[dict[str, Any]]:
    """The panels with ids and places, left to right and top to bottom; "" is a row unnamed."""
    number, top = 0, 0
    for title, panels in rows.items():
        if title:
            number += 1
            place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            yield {
                "id": number, "type": "row", "title": title, "collapsed": False,
                "gridPos": place, "panels": [],
            }  # fmt: skip
            top += 1
        left, height = 0, 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **panel.body()}
            left, height = left + panel.width, max(height, panel.height)
        top += height


def datasource_variable(name: str, label: str, plugin: str) -> dict[str, Any]:
    """Lets people choose a data source of one kind."""
    return {
        "name": name, "label": label, "type": "datasource", "query": plugin, "refresh": 1,
        "regex": "", "hide": 0, "includeAll": False, "multi": False, "options": [],
    }  # fmt: skip


def label_variable(label: str, series: str) -> dict[str, Any]:
    """Lets people choose values of a label; all of them at first, a missing one included."""
    query = f"label_values({series}, {label})"
    return {
        "name": label, "label": label.title(), "type": "query", "datasource": PROMETHEUS,
        "query": {"qryType": 1, "query": query, "refId": "A"},
        "refresh": 2, "regex": "", "sort": 1, "hide": 0, "includeAll": True, "allValue": ".*",
        "multi": True, "options": [], "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip
