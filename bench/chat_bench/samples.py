"""Looks things up in what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_bench.peers import CEILING, OURS, rank
from chat_bench.stats import Spread, paired, spread

Row = Mapping[str, Any]

# Enough load for the fast paths to matter, and not yet too much for the others.
CONNECTIONS = 256

TITLES = {
    "read": "GET /messages",
    "post": "POST /message",
    "mixed": "9 reads to 1 post",
    "users": "GET /users",
}
GROWTH_TITLES = {**TITLES, "post": "POST by 10 users", "post-any": "POST by any user"}
DATABASES = {"mysql": "MySQL", "sqlite": "SQLite"}

FULL_PAGE_USERS = 1000


@dataclass(frozen=True)
class Samples:
    """Some rows of a section of results.json."""

    rows: Sequence[Row]

    def where(self, **wanted: object) -> "Samples":
        """The rows that have these values."""
        rows = [row for row in self.rows if all(row[key] == wanted[key] for key in wanted)]
        return Samples(rows)

    def distinct(self, field: str) -> list[Any]:
        """The values of a field, in the order in which they were measured."""
        return list(dict.fromkeys(row[field] for row in self.rows))

    def variants(self) -> list[str]:
        """Who is in it, in the usual order."""
        return sorted(self.distinct("variant"), key=rank)

    def spread(self, field: str) -> Spread | None:
        """The median of a field over the rounds."""
        return spread(row[field] for row in self.rows)

    def median(self, field: str) -> float:
        """The same where there is one for sure."""
        found = self.spread(field)
        return found.median if found else 0.0

    def ratio(self, field: str, ours: str, theirs: str) -> Spread | None:
        """One variant's field divided by another's, round by round."""
        by_round = [
            {row["round"]: row[field] for row in self.where(variant=variant).rows}
            for variant in (ours, theirs)
        ]
        rounds = [number for number in by_round[0] if number in by_round[1]]
        return paired(
            [by_round[0][number] for number in rounds], [by_round[1][number] for number in rounds]
        )

    def failed(self) -> int:
        """Requests that were not answered with success, and sockets that broke."""
        return sum(sum(count for kind, count in row.get("errors", {}).items()) for row in self.rows)


def section(results: Mapping[str, Any], command: str, database: str) -> Samples:
    """What a sub-command measured on a database; empty when it never ran."""
    return Samples(results.get(command, {}).get(database, {}).get("samples", []))


def peers_of(samples: Samples) -> list[str]:
    """Whom we compare with: all but us and the ceiling."""
    return [name for name in samples.variants() if name not in (OURS, CEILING)]


def under_load(samples: Samples) -> tuple[Samples, int]:
    """The part of a comparison that most charts show, and its number of connections.

    A short trial may have left out the usual number; then it is the largest that was measured.
    """
    measured = samples.distinct("connections")
    connections = CONNECTIONS if CONNECTIONS in measured else max(measured)
    return samples.where(connections=connections), connections


def sizes(samples: Samples) -> list[tuple[int, int]]:
    """Messages and users of each step of growth."""
    return sorted({(row["messages"], row["users"]) for row in samples.rows})


def relative(samples: Samples) -> list[float | None]:
    """Throughput of one variant and workload at each size, relative to the first full pages."""
    found = [samples.where(messages=m, users=u).spread("rps") for m, u in sizes(samples)]
    users = "users" in samples.distinct("workload")
    full = [
        spread.median if spread and (not users or size[1] >= FULL_PAGE_USERS) else None
        for size, spread in zip(sizes(samples), found, strict=True)
    ]
    base = next((value for value in full if value), None)
    return [value / base if value and base else None for value in full]
