"""Whether three observers say the same: the seven metrics, and how far apart they may be."""

from dataclasses import dataclass
from math import isfinite, nan

from observed import Seen

@dataclass(frozen=True)
class Row:
    """One number as each of them saw it. None may be further from another than `share` of it and `more`.

    With `inner`, that is between k6 and /stats, and Prometheus may be this part away from /stats.
    """

    name: str
    k6: float
    stats: float
    prometheus: float
    share: float
    more: float
    inner: float | None = None

    @property
    def values(self) -> list[float]:
        return [self.k6, self.stats, self.prometheus]

    @property
    def apart(self) -> float:
        compared = self.values if self.inner is None else self.values[:2]
        return max(compared) - min(compared) if all(map(isfinite, self.values)) else nan

    @property
    def allowed(self) -> float:
        return self.share * max(self.values) + self.more if all(map(isfinite, self.values)) else nan

    @property
    def agrees(self) -> bool:
        # A comparison with NaN is false, and so is the verdict.
        if self.inner is None:
            return self.apart <= self.allowed
        inner = abs(self.stats - self.prometheus) <= self.inner * max(self.stats, self.prometheus)
        return self.apart <= self.allowed and inner


def compare(seen: Seen) -> list[Row]:
    """All rows. Each tolerance is for the reason that is named above it."""
    k6, window, steps = seen.k6, seen.window, seen.steps
    its, clients = k6["response_ms"], k6["metrics"]["vus_max"]["values"]["max"]
    rate, cpu = (mean([step[name] for step in steps]) for name in ("requests_per_second", "cpu_process"))
    ask = lambda name: seen.prometheus.get(name, nan)  # noqa: E731
    return [
        # Before it begins, k6 asks once whether the server answers.
        Row("requests", k6["requests"], window["requests"], ask("requests"), 0, 1),
        # k6's is of the whole run, the others' of its middle.
        Row("request rate, /s", k6["requests_per_second"], rate, ask("rate"), 0.03, 0),
        # To k6 an answer ends with its last byte here, to the server with its head there.
        Row("mean response time, ms", its["mean"], ms(window["mean_seconds"]), ms(ask("mean")), 0.05, 5, 0.03),
        # The same, and Prometheus's is somewhere in a bucket, which begins at 0.78 of its end or above.
        Row("p50, ms", its["p50"], ms(window["p50_seconds"]), ms(ask("p50")), 0.1, 2, 0.22),
        Row("p99, ms", its["p99"], ms(window["p99_seconds"]), ms(ask("p99")), 0.1, 5, 0.22),
        # Prometheus looks once a second; and an answer that ends its connection, as that for too large a body, makes k6 open
        # another one.
        Row("connected clients", clients, number(window["connections_peak"]), ask("connections"), 0.05, 2),
        # k6's is of the whole run, with the making of connections.
        Row("CPU, % of its share", 100 * number(k6["servers"][0].get("cpu_of_limit")), 100 * cpu, 100 * ask("cpu"), 0.15, 0.2),
        # None of them rounds.
        Row("availability, %", 100 * number(k6["availability"]), 100 * number(window["availability"]), 100 * ask("availability"), 0, 0.01),
        # And an answer that takes 500 ms less the way back is satisfying to the server only.
        Row("Apdex", number(k6["apdex"]), number(window["apdex"]), ask("apdex"), 0, 0.005),
        *errors(seen),
    ]  # fmt: skip


def errors(seen: Seen) -> list[Row]:
    """Error count, by code: exactly the same."""
    stats = {it["code"]: it["count"] for it in seen.window["errors"]["by_code"]}
    columns = [seen.k6["errors"]["by_code"], stats, seen.prometheus_errors]
    codes = sorted(set().union(*columns))
    return [Row(f"errors: {code}", *(column.get(code, 0) for column in columns), 0, 0) for code in codes]


def number(value: float | None) -> float:
    """JSON has null where there is nothing to divide by."""
    return nan if value is None else value


def ms(seconds: float | None) -> float:
    return 1000 * number(seconds)


def mean(values: list[float | None]) -> float:
    return sum(map(number, values)) / len(values) if values else nan


def table(rows: list[Row]) -> str:
    """For a terminal."""
    lines = [f"  {'':30}{'k6':>12}{'/stats':>12}{'Prometheus':>12}{'apart':>10}{'allowed':>10}"]
    for row in rows:
        numbers = "".join(f"{shown(it):>12}" for it in row.values)
        lines.append(
            f"{'✓' if row.agrees else '✗'} {row.name:30}{numbers}{shown(row.apart):>10}{shown(row.allowed):>10}"
        )
    return "\n".join(lines)


def shown(value: float) -> str:
    """Whole ones as they are, others with three digits behind the point."""
    if not isfinite(value):
        return "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
