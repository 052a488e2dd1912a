"""A private MySQL server with full durability, and a fresh database in it for each run."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from chat_bench import places, tools
from chat_bench.client import free_port
from chat_bench.trouble import Trouble

PASSWORD = "secret"
START_SECONDS = 900  # The first start ever fetches MySQL.
QUERY_SECONDS = 300
SETTLE_SECONDS = 120

# What makes a commit durable. A server with other settings would have an unfair advantage.
DURABILITY = {"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1", "log_bin": "1"}

# Rows that one statement of `fill` adds, so that neither undo log nor silence gets too long.
CHUNK = 1_000_000


class MySql:
    """Runs from `start` to `close`; use it in a `with contextlib.closing(…)`."""

    name = "mysql"
    pid: int | None = None

    def __init__(self) -> None:
        tools.need("mysql", "default-mysql-client")
        self.folder = places.TARGET / "mysql"
        self._number = 0
        self.close()  # Of a benchmark that was killed.
        self.port = free_port()
        command = [str(places.PRIVATE), "mysql", "start", str(self.folder), str(self.port)]
        try:
            if subprocess.run(command, timeout=START_SECONDS, check=False).returncode:
                raise Trouble("The private MySQL server could not be started; see above")
            self.pid = self._pid()
            self._require_durability()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Nothing of its data is wanted any more, so it need not stop in order."""
        if self.folder.exists():
            kill = [str(places.PRIVATE), "mysql", "kill", str(self.folder)]
            subprocess.run(kill, stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def query(self, sql: str) -> list[list[str]]:
        """All rows, as text."""
        # "loose" spares options that only one of MySQL's and MariaDB's clients knows.
        command = [
            "mysql", "--no-defaults", "--protocol=tcp", f"--host={places.HOST}",
            f"--port={self.port}", "--user=root", "--batch", "--raw", "--skip-column-names",
            "--loose-skip-ssl-verify-server-cert",
        ]  # fmt: skip
        run = subprocess.run(
            command, input=sql, capture_output=True, text=True, check=False,
            timeout=QUERY_SECONDS, env={**os.environ, "MYSQL_PWD": PASSWORD},
        )  # fmt: skip
        if run.returncode:
            raise Trouble(f"MySQL refused a query: {run.stderr.strip()}")
        return [line.split("\t") for line in run.stdout.splitlines()]

    def facts(self) -> dict[str, str]:
        """Version and durability, for the report."""
        names = ["version", *DURABILITY, "innodb_buffer_pool_size"]
        values = self.query("select " + ", ".join(f"@@{name}" for name in names))[0]
        return dict(zip(names, values, strict=True))

    def fresh(self) -> str:
        """The URL of a new database without tables."""
        self._number += 1
        name = f"bench_{self._number}"
        self.query(f"create database {name} character set utf8mb4 collate utf8mb4_bin")
        return f"mysql://root:{PASSWORD}@{places.HOST}:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Removes a database, and the binary logs, which would fill the disk in an hour."""
        self.query(
            f"drop database {_name(url)}; flush binary logs;"
            "purge binary logs before now() + interval 1 day"
        )

    def messages(self, url: str) -> dict[int, tuple[str, str]]:
        """User and text by id, without the server that wrote them."""
        rows = self.query(f"select id, hex(user), hex(text) from {_name(url)}.messages")
        return {int(number): (_unhex(user), _unhex(text)) for number, user, text in rows}

    def counts(self, url: str) -> tuple[int, int]:
        """How many messages and users there are."""
        name = _name(url)
        sql = f"select (select count(*) from {name}.messages), (select count(*) from {name}.users)"
        messages, users = self.query(sql)[0]
        return int(messages), int(users)

    def fill(self, url: str, messages: int, users: int) -> None:
        """Adds what is missing to so many messages of so many users, as fast as SQL can."""
        has_messages, has_users = self.counts(url)
        digits = "create table digits (d int); insert into digits values " + ",".join(
            f"({digit})" for digit in range(1000)
        )
        self.query(f"use {_name(url)}; drop table if exists digits; {digits}")
        # A number for each row of the chunk that begins at `start`.
        numbers = "(select {start} + a.d * 1000 + b.d as n from digits a, digits b) numbers"
        insert_users = "insert into users select concat('user', n) from " + numbers
        insert_messages = (
            "insert into messages (dedup, user, text, created_at)"
            # Ascending, as the UUIDs of version 7 are that servers store here.
            " select unhex(lpad(hex(n), 32, '0')), concat('user', n % {users}),"
            " concat('message number ', n, ' of a long history'), utc_timestamp(3) from " + numbers
        )
        for insert, has, wanted in (
            (insert_users, has_users, users),
            (insert_messages, has_messages, messages),
        ):
            for start in range(has, wanted, CHUNK):
                sql = insert.format(start=start, users=users) + f" where n < {wanted}"
                self.query(f"use {_name(url)}; set sql_log_bin = 0; {sql}")
                print(".", end="", flush=True)
        self.query(f"drop table {_name(url)}.digits; analyze table {_name(url)}.messages")
        self._settle()

    def _settle(self) -> None:
        """Waits until what was filled is on disk, so that no measurement pays for it."""
        self.query("set global innodb_max_dirty_pages_pct = 0")
        deadline = time.monotonic() + SETTLE_SECONDS
        dirty = "show global status like 'Innodb_buffer_pool_pages_dirty'"
        while int(self.query(dirty)[0][1]) > 50 and time.monotonic() < deadline:
            time.sleep(0.5)
        self.query("set global innodb_max_dirty_pages_pct = default")

    def _require_durability(self) -> None:
        facts = self.facts()
        print(
            "MySQL " + ", ".join(f"{name} = {value}" for name, value in facts.items()), flush=True
        )
        for name, value in DURABILITY.items():
            if facts[name] != value:
                raise Trouble(f"MySQL has {name} = {facts[name]} and not {value}: not durable")

    def _pid(self) -> int:
        file = self.folder / "server.pid"
        if file.exists():
            return int(file.read_text())
        # In a container; tests/databases/private names it after its folder.
        label = f"label=chat-server-tests={Path(self.folder).resolve()}"
        names = _output(["docker", "ps", "--quiet", "--filter", label]).split()
        return int(_output(["docker", "inspect", "--format", "{{.State.Pid}}", *names]))


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _unhex(text: str) -> str:
    return bytes.fromhex(text).decode()


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
