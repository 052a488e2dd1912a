"""The arithmetic in PromQL, once for the rules and the dashboard.

What divides by a number of requests has no value where there were none: `> 0` drops the divisor.
"""

from dataclasses import dataclass

from chat_observability.objectives import Objectives

DURATION = "http_server_request_duration_seconds"
STATUS = "http_response_status_code"

# A status is absent when the request was cut off before the answer.
ERROR_KINDS = {"client": '=~"4.."', "server": '=~"5.."', "canceled": '=""'}
SERVED = f'{STATUS}!~"5..|"'
# 408 took long because the client did.
TIMED = f'{STATUS}!~"5..|408"'


def le(bound: float) -> str:
    """The matcher of a bucket. Prometheus 3 stores the bound 2 as 2.0, Prometheus 2 as 2."""
    whole = bound == int(bound)
    return f'le=~"{int(bound)}([.]0)?"' if whole else f'le="{bound:g}"'


@dataclass(frozen=True)
class Expressions:
    """Queries on the series that `selector` picks, over `window`, apart by the labels `by`."""

    objectives: Objectives
    selector: str
    window: str
    by: str = ""

    def series(self, metric: str, *matchers: str) -> str:
        return f"{metric}{{{','.join((self.selector, *matchers))}}}"

    def sum(self, inner: str, by: str = "") -> str:
        labels = ", ".join(filter(None, (self.by, by)))
        return f"sum by ({labels}) ({inner})" if labels else f"sum({inner})"

    def rate(self, metric: str, *matchers: str, by: str = "") -> str:
        return self.sum(f"rate({self.series(metric, *matchers)}[{self.window}])", by)

    def increase(self, metric: str, *matchers: str, by: str = "") -> str:
        return self.sum(f"increase({self.series(metric, *matchers)}[{self.window}])", by)

    def requests(self, *matchers: str) -> str:
        return self.rate(f"{DURATION}_count", *matchers)

    def within(self, bound: float, *matchers: str) -> str:
        """Requests a second that took no longer."""
        return self.rate(f"{DURATION}_bucket", le(bound), *matchers)

    def or_none(self, part: str) -> str:
        """A part of the requests, which is 0 where there are requests but none of these."""
        return f"(\n  {part}\n  or\n  0 * {self.requests()}\n)"

    def errors(self, kind: str) -> str:
        found = self.increase(f"{DURATION}_count", f"{STATUS}{ERROR_KINDS[kind]}")
        none = f"0 * {self.increase(f'{DURATION}_count')}"
        return f"{found}\nor\n{none}"

    def failed(self) -> str:
        """Requests a second that ended with 5xx."""
        return self.or_none(self.requests(f"{STATUS}{ERROR_KINDS['server']}"))

    def slow(self) -> str:
        """Requests a second that took too long by the server. A failed one counts as failed."""
        fast = self.within(self.objectives.latency_seconds, TIMED)
        # Rounding of floats must not make it less than nothing.
        return f"clamp_min(\n  {self.requests(TIMED)}\n  -\n  {fast},\n  0\n)"

    def mean_seconds(self) -> str:
        return f"{self.rate(f'{DURATION}_sum')}\n/\n({self.requests()} > 0)"

    def quantile_seconds(self, quantile: float, metric: str = DURATION, by: str = "") -> str:
        labels = ", ".join(filter(None, ("le", by)))
        return f"histogram_quantile({quantile:g}, {self.rate(f'{metric}_bucket', by=labels)})"

    def availability(self) -> str:
        return f"1 - {self.failed()}\n/\n({self.requests()} > 0)"

    def apdex(self) -> str:
        """Buckets are cumulative: the one of 4 T holds the satisfied too, so half of each."""
        t = self.objectives.apdex_t_seconds
        good = f"{self.within(t, SERVED)}\n  +\n  {self.within(4 * t, SERVED)}"
        return f"{self.or_none(good)}\n/ 2 /\n({self.requests()} > 0)"

    def connections(self) -> str:
        return self.sum(self.series("chat_server_connections"))

    def cpu(self) -> str:
        """The part of what the replicas may use together."""
        limit = self.sum(self.series("chat_process_cpu_limit"))
        return f"{self.rate('process_cpu_time_seconds_total')}\n/\n({limit} > 0)"
