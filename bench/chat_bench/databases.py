"""The two kinds of database, behind one interface."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from chat_bench.client import Client
from chat_bench.mysql import MySql
from chat_bench.peers import Peer, Server
from chat_bench.sqlite import Sqlite

# A page of messages is full with these, as it is for most of a chat's life.
SEEDS = 100
NAMES = 10


class Database(Protocol):
    """What a run needs of a database."""

    name: str
    pid: int | None

    def facts(self) -> dict[str, str]: ...
    def fresh(self) -> str: ...
    def drop(self, url: str) -> None: ...
    def messages(self, url: str) -> dict[int, tuple[str, str]]: ...
    def counts(self, url: str) -> tuple[int, int]: ...
    def fill(self, url: str, messages: int, users: int) -> None: ...
    def close(self) -> None: ...


KINDS: dict[str, Callable[[], Database]] = {"mysql": MySql, "sqlite": Sqlite}


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """A database server of this kind, gone afterwards in any case."""
    with closing(KINDS[kind]()) as database:
        yield database


@contextmanager
def fresh(database: Database) -> Iterator[str]:
    """The URL of a new database, gone afterwards in any case."""
    url = database.fresh()
    try:
        yield url
    finally:
        database.drop(url)


@contextmanager
def seeded(peer: Peer, database: Database) -> Iterator[Server]:
    """A server on a new database that holds one page of messages.

    They come in over HTTP, as they would in life, so this is the same for every peer.
    """
    with fresh(database) as url, peer.serve(url) as server:
        server.wait_ready()
        with Client(server.port) as client:
            for number in range(SEEDS):
                client.post(f"user{number % NAMES}", f"seed {number}: {'words ' * (number % 12)}")
        yield server
