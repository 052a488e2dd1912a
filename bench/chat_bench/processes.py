"""What the kernel knows of a server's processes: processor time and memory."""

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Usage:
    """Of a process and everything below it. A page that several processes share counts in each."""

    cpu_seconds: float
    resident: int
    peak: int


@dataclass(frozen=True)
class Stat:
    """The few fields of /proc/PID/stat that matter here."""

    parent: int
    ticks: int


def parse_stat(text: str) -> Stat:
    """The command may hold spaces and parentheses, so fields are counted from its end."""
    fields = text.rpartition(")")[2].split()
    # User and system time, own and of children that ended: fields 14 to 17 in proc(5).
    return Stat(parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]))


def parse_memory(status: str) -> tuple[int, int]:
    """Resident and peak resident bytes from /proc/PID/status; a zombie has neither."""
    sizes = {"VmRSS": 0, "VmHWM": 0}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024
    return sizes["VmRSS"], sizes["VmHWM"]


def usage(leader: int) -> Usage:
    """The sums over a process and its descendants, now."""
    return usages([leader])[0]


def usages(leaders: Sequence[int]) -> list[Usage]:
    """Of several at once, by one look at all processes that there are."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stats[int(folder.name)] = parse_stat((folder / "stat").read_text())
        except OSError:
            continue  # It ended while we looked.
    return [_sum(_tree(leader, stats), stats) for leader in leaders]


def _sum(pids: Sequence[int], stats: Mapping[int, Stat]) -> Usage:
    ticks = resident = peak = 0
    for pid in pids:
        ticks += stats[pid].ticks
        try:
            now, most = parse_memory(Path(f"/proc/{pid}/status").read_text())
        except OSError:
            continue
        resident += now
        peak += most
    return Usage(ticks / _TICKS_PER_SECOND, resident, peak)


def _tree(leader: int, stats: Mapping[int, Stat]) -> list[int]:
    found = [leader] if leader in stats else []
    for parent in found:
        found.extend(pid for pid, stat in stats.items() if stat.parent == parent)
    return found


def die_with_parent() -> None:
    """For a child, before exec: so that even a killed benchmark leaves no server behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
