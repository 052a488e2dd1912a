"""Who used how much of the processors and the memory, and when."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from chat_bench.processes import usages

PERIOD_SECONDS = 1.0
_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Moment:
    """`at` is in seconds since 1970, as others write times too; processor seconds are totals."""

    at: float
    cpu: Mapping[str, float]
    memory: Mapping[str, int]


class Watch:
    """Looks at processes, and what they started, each second while it is a context."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.moments: list[Moment] = []
        self._pids = pids
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        """Until one of them has ended, of which nothing is known any more."""
        while not self._end.is_set():
            moment = self._look()
            if not all(Path(f"/proc/{pid}").exists() for pid in self._pids.values()):
                break
            self.moments.append(moment)
            self._end.wait(PERIOD_SECONDS)

    def _look(self) -> Moment:
        found = dict(zip(self._pids, usages(list(self._pids.values())), strict=True))
        cpu = {name: it.cpu_seconds for name, it in found.items()} | {"idle": idle_seconds()}
        return Moment(time.time(), cpu, {name: it.resident for name, it in found.items()})

    def cores(self, name: str, begin: float, end: float) -> float:
        """How many processors it used on average."""
        return (self._cpu(name, end) - self._cpu(name, begin)) / (end - begin)

    def memory(self, name: str, begin: float, end: float) -> int:
        """The most bytes it had in memory."""
        return max(it.memory[name] for it in self.moments if begin - 1 <= it.at <= end + 1)

    def _cpu(self, name: str, at: float) -> float:
        """Between two looks, by a straight line."""
        after = next((n for n, it in enumerate(self.moments) if it.at >= at), len(self.moments) - 1)
        first, second = self.moments[max(0, after - 1)], self.moments[max(1, after)]
        share = (at - first.at) / (second.at - first.at)
        return first.cpu[name] + share * (second.cpu[name] - first.cpu[name])


def idle_seconds() -> float:
    """Of all processors together, the time in which they had nothing to do."""
    fields = _STAT.read_text().partition("\n")[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
