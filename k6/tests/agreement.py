"""Whether three observers say the same: the seven metrics, and how far apart they may be."""

from dataclasses import dataclass

from observed import Seen


@dataclass(frozen=True)
class Row:
    """One number as each of them saw it. They agree when none is further from another than `share` of it and `more`."""

    name: str
    unit: str
    k6: float
    stats: float
    prometheus: float
    share: float
    more: float

    @property
    def apart(self) -> float:
        values = [self.k6, self.stats, self.prometheus]
        return max(values) - min(values)

    @property
    def allowed(self) -> float:
        return self.share * max(self.k6, self.stats, self.prometheus) + self.more

    @property
    def agrees(self) -> bool:
        # A comparison with NaN is false, and so is the verdict.
        return self.apart <= self.allowed


def compare(seen: Seen) -> list[Row]:
    """All rows. Each tolerance is for a reason that is named beside it."""
    k6, window, metrics = seen.k6, seen.window, seen.prometheus
    mean = lambda name: sum(step[name] for step in seen.steps) / len(seen.steps)  # noqa: E731
    return [
        # Before it begins, k6 asks once whether the server answers.
        Row("requests", "", k6["requests"], window["requests"], metrics["requests"], 0, 1),
        # k6's is of the whole run, the others' of its middle.
        Row("request rate", "/s", k6["requests_per_second"], mean("requests_per_second"), metrics["rate"], 0.03, 0),
        # To k6 an answer ends with its last byte here, to the server with its head there.
        Row("average response time", "s", k6["response_ms"]["mean"] / 1000, window["mean_seconds"], metrics["mean"], 0.05, 0.01),
        # The server's is within one of its buckets, which are up to 2.5 times as wide as their beginning.
        Row("p99", "s", k6["response_ms"]["p99"] / 1000, window["p99_seconds"], metrics["p99"], 0.6, 0),
        # Prometheus looks once a second. Answers that end a connection, as that for too large a body, make k6 open another.
        Row("connected clients", "", k6["metrics"]["vus_max"]["values"]["max"], window["connections_peak"], metrics["connections"], 0.05, 2),
        # k6 takes the whole run, with the making of connections.
        Row("CPU", "", k6["servers"][0]["cpu_of_limit"], mean("cpu_process"), metrics["cpu"], 0.15, 0.002),
        # A counter that begins with more than 0 has not increased for Prometheus.
        Row("availability", "", k6["availability"], window["availability"], metrics["availability"], 0, 0.001),
        # And an answer that takes 500 ms less the way back is satisfying to the server only.
        Row("Apdex", "", k6["apdex"], window["apdex"], metrics["apdex"], 0, 0.005),
        *errors(seen),
    ]  # fmt: skip


def errors(seen: Seen) -> list[Row]:
    """Error count, by code: exactly the same."""
    stats = {it["code"]: it["count"] for it in seen.window["errors"]["by_code"]}
    columns = [seen.k6["errors"]["by_code"], stats, seen.prometheus_errors]
    codes = sorted(set().union(*columns))
    return [Row(f"errors: {code}", "", *(column.get(code, 0) for column in columns), 0, 0) for code in codes]


def table(rows: list[Row]) -> str:
    """For a terminal."""
    lines = [f"  {'':33}{'k6':>10}{'/stats':>10}{'Prometheus':>12}{'apart':>10}{'allowed':>10}"]
    for row in rows:
        numbers = [number(it) for it in (row.k6, row.stats, row.prometheus, row.apart, row.allowed)]
        widths = (10, 10, 12, 10, 10)
        cells = "".join(f"{cell:>{width}}" for cell, width in zip(numbers, widths, strict=True))
        lines.append(f"{'✓' if row.agrees else '✗'} {row.name + (' in ' + row.unit if row.unit else ''):33}{cells}")
    return "\n".join(lines)


def number(value: float) -> str:
    """Whole ones as they are, others with four digits behind the point."""
    return f"{value:.0f}" if value == int(value) else f"{value:.4f}"
