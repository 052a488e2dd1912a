"""Who takes part: builds the peers, checks them, and leaves out the ones that fail."""

import traceback
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from chat_bench import machine, peers, places
from chat_bench.correctness import check
from chat_bench.databases import Database
from chat_bench.peers import CEILING, OURS, Peer
from chat_bench.progress import Progress
from chat_bench.results import Section
from chat_bench.trouble import Disturbed, Trouble, Unsupported, shout

# A hiccup of the machine should not cost a variant its place; a broken one must not cost an hour.
FAILURES_MAX = 3
DISTURBANCES_MAX = 3


class Contest:
    """The variants of one run of the benchmark, and what was wrong with them."""

    def __init__(self, args: Namespace) -> None:
        self.problems: list[str] = []
        self._file = args.results
        self._failures: Counter[tuple[str, str]] = Counter()
        self._built = [
            peer for peer in peers.found(args.peers_folder, args.peers) if self._build(peer)
        ]

    def enter(self, command: str, database: Database, **settings: object) -> "Stage":
        """Begins with a database: checks who is correct on it, and opens its section of results."""
        section = Section(self._file, command, database.name, **settings)
        section.set(database=database.facts(), peers=self._versions())
        return Stage(self, database, self._admitted(database), section)

    def plan(self, what: str, steps: int, seconds_each: float) -> None:
        """Says how long it will take."""
        self._progress = Progress(what, steps, seconds_each)

    def attempt(self, peer: Peer, database: Database, text: str, action: Callable[[], str]) -> None:
        """One step, which may fail without taking the rest along."""
        self._progress.step(f"{database.name} {text} {peer.name}")
        key = (peer.name, database.name)
        if self._failures[key] >= FAILURES_MAX:
            self._progress.result("left out, it failed before")
            return
        try:
            self._progress.result(_undisturbed(action))
        except Exception as fault:
            self._progress.result("FAILED")
            self._failures[key] += 1
            self._problem(f"{peer.name} on {database.name}, {text}: {_said(fault)}")

    def _admitted(self, database: Database) -> list[Peer]:
        admitted = []
        for peer in self._built:
            print(f"Checking {peer.name} on {database.name}: ", end="", flush=True)
            try:
                check(peer, database)
            except Unsupported as reason:
                print(f"left out, {reason}", flush=True)
            except Exception as fault:
                self._problem(f"{peer.name} on {database.name}: {_said(fault)}")
            else:
                stored = "each acknowledged message is stored, once"
                print("it answers" if peer.name == CEILING else stored, flush=True)
                admitted.append(peer)
        return admitted

    def _versions(self) -> dict[str, dict[str, str]]:
        folders = {peer.name: peer.folder for peer in self._built}
        if OURS in folders:
            folders[OURS] = places.ROOT
        return {name: machine.peer_versions(folder) for name, folder in folders.items()}

    def _build(self, peer: Peer) -> bool:
        print(f"Building {peer.name}", flush=True)
        try:
            peer.build()
        except Trouble as trouble:
            self._problem(str(trouble))
            return False
        return True

    def _problem(self, problem: str) -> None:
        shout(problem)
        self.problems.append(problem)


def _undisturbed(action: Callable[[], str]) -> str:
    for _ in range(DISTURBANCES_MAX):
        try:
            return action()
        except Disturbed as disturbance:
            print(f"({disturbance}; again) ", end="", flush=True)
    return action()


def _said(fault: Exception) -> str:
    """A broken peer can break anything here, so any exception is taken for its fault."""
    if isinstance(fault, Trouble):
        return str(fault)
    where = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{fault!r} in {where.name}, {where.filename}:{where.lineno}"


@dataclass(frozen=True)
class Stage:
    """A database, the peers that are correct on it, and where its samples go."""

    contest: Contest
    database: Database
    peers: list[Peer]
    section: Section

    def attempt(self, peer: Peer, text: str, action: Callable[[], str]) -> None:
        """One step, which prints what `action` returns."""
        self.contest.attempt(peer, self.database, text, action)
