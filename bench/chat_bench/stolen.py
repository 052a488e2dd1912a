"""How much of the processors the host of a virtual machine takes away: steal in proc_stat(5)."""

from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_STEAL = 7
# Guest time, in the fields after it, is part of user time already.
_FIELDS = 8


def parse(text: str) -> tuple[int, int]:
    """Stolen ticks and all ticks of all processors together."""
    ticks = [int(field) for field in text.partition("\n")[0].split()[1 : 1 + _FIELDS]]
    return ticks[_STEAL], sum(ticks)


@dataclass(frozen=True)
class Stolen:
    """Begins to count when it is made."""

    stolen: int
    all: int

    @classmethod
    def since_now(cls) -> "Stolen":
        """Starts a count."""
        return cls(*parse(_STAT.read_text()))

    def part(self) -> float:
        """The stolen part of the time since then, 0 to 1."""
        stolen, everything = parse(_STAT.read_text())
        return (stolen - self.stolen) / max(1, everything - self.all)
