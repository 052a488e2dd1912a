"""The chat server in its older design: Flask, Flask-RESTful and PyMySQL, a query per request.

Usage: app.py PORT DATABASE_URL, which serves by Flask's own threaded server; or any WSGI server
with DATABASE_URL in the environment and "app:app".
"""

import logging
import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import LifoQueue
from urllib.parse import unquote, urlsplit

import pymysql
from flask import Flask, request
from flask_restful import Api, Resource, abort
from pymysql.connections import Connection

CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
USER_CHARS_MAX = 100
TEXT_CHARS_MAX = 65_535

# The later migrations are about ids that a server gives out itself; here the database does.
SCHEMA = sorted((Path(__file__).resolve().parents[3] / "migrations" / "mysql").glob("000[12]_*.sql"))


class Pool:
    """A fixed number of connections, made when they are needed first; a request waits for one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._settings = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.lstrip("/"),
            "autocommit": True,
        }
        self._idle: LifoQueue[Connection | None] = LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(None)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        connection = self._idle.get()
        usable = None
        try:
            connection = connection or pymysql.connect(**self._settings)
            yield connection
            usable = connection
        finally:
            # After an error the state of the connection is unknown.
            if connection and not usable:
                connection.close()
            self._idle.put(usable)

    def query(self, sql: str) -> tuple[tuple, ...]:
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


class Message(Resource):
    def post(self) -> tuple[dict[str, object], int]:
        body = request.get_json()
        user, text = body.get("user"), body.get("text")
        if not isinstance(user, str) or not isinstance(text, str):
            abort(422, message="user and text are strings")
        user = user.strip()
        if not 0 < len(user) <= USER_CHARS_MAX or any(map(is_control, user)):
            abort(422, message="user has 1 to 100 characters, none of them a control character")
        if len(text) > TEXT_CHARS_MAX:
            abort(422, message="text has up to 65535 characters")
        created_at = datetime.now(UTC).replace(tzinfo=None)
        created_at = created_at.replace(microsecond=created_at.microsecond // 1000 * 1000)
        number = store(user, text, created_at)
        return {"id": number, "user": user, "text": text, "created_at": rfc3339(created_at)}, 201


class Messages(Resource):
    def get(self) -> dict[str, list[dict[str, object]]]:
        rows = pool.query(
            "select id, user, text, created_at from messages order by id desc limit 100"
        )
        return {
            "messages": [
                {"id": number, "user": user, "text": text, "created_at": rfc3339(created_at)}
                for number, user, text, created_at in rows
            ]
        }


class Users(Resource):
    def get(self) -> dict[str, list[str]]:
        rows = pool.query("select name from users order by name limit 1000")
        return {"users": [name for (name,) in rows]}


def store(user: str, text: str, created_at: datetime) -> int:
    """Returns the id of the message when it is committed."""
    # Like a UUID of version 7: begins with the time, so that the index grows at its end.
    dedup = time.time_ns().to_bytes(8) + os.urandom(8)
    insert = "insert into messages (dedup, user, text, created_at) values (_binary %s, %s, %s, %s)"
    with pool.connection() as connection, connection.cursor() as cursor:
        # One statement is a transaction by itself; with a new name it takes an explicit one.
        if is_new := user not in names:
            connection.begin()
            cursor.execute("insert ignore into users values (%s)", (user,))
        cursor.execute(insert, (dedup, user, text, created_at))
        if is_new:
            connection.commit()
            names.add(user)
        return cursor.lastrowid


def is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


if __name__ == "__main__":
    os.environ["DATABASE_URL"] = sys.argv[2]

pool = Pool(os.environ["DATABASE_URL"])
# Names that are stored already, so that only a new one costs an insert.
names: set[str] = set()
for table in SCHEMA:
    pool.query(table.read_text())

app = Flask(__name__)
api = Api(app)
api.add_resource(Message, "/message")
api.add_resource(Messages, "/messages")
api.add_resource(Users, "/users")

if __name__ == "__main__":
    # By default it writes a line for each request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
