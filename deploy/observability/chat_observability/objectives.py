"""What the service is meant to reach: `objectives.json`, checked."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The bounds of http_server_request_duration_seconds that the server has, besides T and 4 T. An
# objective between two of them could only be guessed at.
PREFERRED = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
BUCKETS_SECONDS = (
    *(bound / 10**power for power in (6, 5, 4, 3, 2) for bound in PREFERRED),
    *(0.00001, 0.000025, 0.00005, 0.075, 0.75, 7.5, 10),
)

_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400}


class Mistake(Exception):
    """Something in `objectives.json` cannot be."""


@dataclass(frozen=True)
class BurnRate:
    """How many times too fast the budget burns, over a long window and still over a short one."""

    severity: str
    factor: float
    long: str
    short: str


@dataclass(frozen=True)
class Slo:
    """The share of requests that has to be good."""

    name: str
    ratio: float

    @property
    def budget(self) -> float:
        # Rounded, because 1 - 0.999 is 0.0010000000000000009.
        return round(1 - self.ratio, 9)


@dataclass(frozen=True)
class Objectives:
    """The whole file."""

    service: str
    job: str
    runbook: str
    period_days: int
    slos: tuple[Slo, ...]
    latency_seconds: float
    apdex_t_seconds: float
    apdex_goal: float
    apdex_requests_min: int
    bad_requests_min: int
    burn_rates: tuple[BurnRate, ...]

    @property
    def period(self) -> str:
        return f"{self.period_days}d"

    def slo(self, name: str) -> Slo:
        return next(slo for slo in self.slos if slo.name == name)


def load(path: Path) -> Objectives:
    """Reads the file; a `Mistake` says what is wrong with it."""
    try:
        return _checked(_parsed(json.loads(path.read_text(encoding="utf-8"))))
    except (KeyError, TypeError, ValueError) as error:
        raise Mistake(f"{path.name}: {type(error).__name__}: {error}") from error


def seconds(window: str) -> int:
    """The length of a window such as 30m."""
    if not re.fullmatch(r"[1-9]\d*[mhd]", window):
        raise Mistake(f"{window!r} is not a window such as 5m, 6h or 3d")
    return int(window[:-1]) * _UNIT_SECONDS[window[-1]]


def _parsed(file: dict[str, Any]) -> Objectives:
    burn = file["burn_rates"]
    return Objectives(
        service=file["service"],
        job=file["job"],
        runbook=file["runbook"],
        period_days=int(file["period_days"]),
        slos=(
            Slo("availability", float(file["availability"]["ratio"])),
            Slo("latency", float(file["latency"]["ratio"])),
        ),
        latency_seconds=float(file["latency"]["seconds"]),
        apdex_t_seconds=float(file["apdex"]["t_seconds"]),
        apdex_goal=float(file["apdex"]["goal"]),
        apdex_requests_min=int(file["apdex"]["requests_min"]),
        bad_requests_min=int(burn["bad_requests_min"]),
        burn_rates=tuple(
            BurnRate(severity, float(each["factor"]), each["long"], each["short"])
            for severity in ("page", "ticket")
            for each in burn[severity]
        ),
    )


def _checked(found: Objectives) -> Objectives:
    for ratio in (*(slo.ratio for slo in found.slos), found.apdex_goal):
        if not 0 < ratio < 1:
            raise Mistake(f"{ratio} is not between 0 and 1")
    t = found.apdex_t_seconds
    bounds = (*BUCKETS_SECONDS, t, 4 * t)
    if found.latency_seconds not in bounds:
        raise Mistake(f"latency.seconds is not a bucket: {sorted(set(bounds))}")
    for rate in found.burn_rates:
        if not seconds(rate.short) < seconds(rate.long) <= seconds(found.period):
            raise Mistake(f"{rate.short} and {rate.long} are not a short and a long window")
        # A page that needs more than all requests to fail would never come.
        for slo in found.slos:
            if rate.factor * slo.budget >= 1:
                raise Mistake(f"{rate.factor:g} times {slo.name}'s budget is more than everything")
    return found
