"""A fresh SQLite file for each run, on the disk that the repository is on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from chat_bench import places
from chat_bench.trouble import Trouble

# Rows that one statement of `fill` adds.
CHUNK = 1_000_000
BUSY_SECONDS = 30

_NUMBERS = (
    "with recursive numbers (n) as"
    " (select :start union all select n + 1 from numbers where n + 1 < :end)"
)
_INSERT_USERS = f"{_NUMBERS} insert into users select 'user' || n from numbers"
_INSERT_MESSAGES = (
    f"{_NUMBERS} insert into messages (dedup, user, text, created_at)"
    # Ascending, as the UUIDs of version 7 are that servers store here.
    " select cast(printf('%016d', n) as blob), 'user' || (n % :users),"
    " 'message number ' || n || ' of a long history', '2026-01-01T00:00:00.000Z' from numbers"
)


class Sqlite:
    """A folder of database files; there is no server, so no process of its own."""

    name = "sqlite"
    pid: int | None = None

    def __init__(self) -> None:
        self.folder = places.TARGET / "sqlite"
        self._number = 0
        self.close()
        self.folder.mkdir(parents=True)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def facts(self) -> dict[str, str]:
        """What a commit costs here is each server's own setting: `pragma synchronous`."""
        return {}

    def fresh(self) -> str:
        """The URL of a file that does not exist yet."""
        self._number += 1
        return f"sqlite://{self.folder}/bench_{self._number}.db"

    def drop(self, url: str) -> None:
        path = _path(url)
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            file.unlink(missing_ok=True)

    def messages(self, url: str) -> dict[int, tuple[str, str]]:
        """User and text by id, without the server that wrote them."""
        with closing(_connect(url)) as connection:
            rows = connection.execute("select id, user, text from messages").fetchall()
        return {number: (user, text) for number, user, text in rows}

    def counts(self, url: str) -> tuple[int, int]:
        """How many messages and users there are."""
        sql = "select (select count(*) from messages), (select count(*) from users)"
        with closing(_connect(url)) as connection:
            messages, users = connection.execute(sql).fetchone()
        return messages, users

    def fill(self, url: str, messages: int, users: int) -> None:
        """Adds what is missing to so many messages of so many users, as fast as SQL can."""
        has_messages, has_users = self.counts(url)
        with closing(_connect(url)) as connection:
            connection.execute("pragma synchronous = off")
            for insert, has, wanted in (
                (_INSERT_USERS, has_users, users),
                (_INSERT_MESSAGES, has_messages, messages),
            ):
                for start in range(has, wanted, CHUNK):
                    span = {"start": start, "end": min(start + CHUNK, wanted), "users": users}
                    connection.execute(insert, span)
                    connection.commit()
                    print(".", end="", flush=True)
            # Else the first server to come would pay for it.
            connection.execute("pragma wal_checkpoint(truncate)")


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite://"))


def _connect(url: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < (3, 37):
        raise Trouble(f"This Python has SQLite {sqlite3.sqlite_version}; strict tables need 3.37")
    return sqlite3.connect(_path(url), timeout=BUSY_SECONDS)
