"""Correctness before speed: what a server acknowledges is in the table, once and as it was sent."""

import threading
from dataclasses import dataclass, field

from chat_bench.client import Client
from chat_bench.databases import NAMES, Database, fresh
from chat_bench.peers import CEILING, Peer, Server
from chat_bench.trouble import Trouble

POSTS = 2000
CLIENTS = 16
PAGE = 100
# Characters that an encoding or an escape on the way would change.
_AWKWARD = 'naïve "quotes" \\ tab\t — 漢字 👋'


@dataclass
class Posted:
    """What was sent and acknowledged, by all threads together."""

    by_id: dict[int, tuple[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, number: int, user: str, text: str) -> None:
        with self.lock:
            if number in self.by_id:
                self.faults.append(f"id {number} was given twice")
            self.by_id[number] = (user, text)


def check(peer: Peer, database: Database, posts: int = POSTS) -> None:
    """Raises `Trouble` with the first fault, `Unsupported` where the peer has no such database."""
    with fresh(database) as url, peer.serve(url) as server:
        server.wait_ready()
        posted = _post(server, posts)
        faults = posted.faults or _read_faults(server, posted, peer.name == CEILING)
        if not faults and peer.name != CEILING:
            faults = table_faults(database.messages(url), posted.by_id)
    if faults:
        raise Trouble(f"not correct, {faults[0]}")


def _post(server: Server, posts: int) -> Posted:
    posted = Posted()

    def client(first: int) -> None:
        try:
            with Client(server.port) as connection:
                for number in range(first, posts, CLIENTS):
                    user, text = f"user{number % NAMES}", f"message {number}, {_AWKWARD}"
                    answer = connection.post(user, text)
                    posted.acknowledged(answer["id"], user, text)
                    if (answer["user"], answer["text"]) != (user, text):
                        posted.faults.append(f"message {number} was answered as {answer}")
        except (OSError, ValueError, KeyError, Trouble) as error:
            posted.faults.append(f"a post failed: {error!r}")

    threads = [threading.Thread(target=client, args=(first,)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return posted


def _read_faults(server: Server, posted: Posted, canned: bool) -> list[str]:
    """The ceiling's pages are prepared ones, so only their shape can be looked at."""
    with Client(server.port) as client:
        page = client.get("/messages")["messages"]
        users = client.get("/users")["users"]
    return page_faults(page, posted.by_id, canned) + (
        [f"GET /users answered {users}"] if users != sorted(users) or len(users) != NAMES else []
    )


def page_faults(
    page: list[dict[str, object]], acknowledged: dict[int, tuple[str, str]], canned: bool = False
) -> list[str]:
    """Whether the newest messages came, newest first."""
    ids = [message["id"] for message in page]
    newest = sorted(acknowledged, reverse=True)[:PAGE]
    if canned:
        return [] if len(ids) == PAGE else [f"GET /messages answered {len(ids)} messages"]
    if ids != newest:
        return [f"GET /messages answered {ids[:3]}… and not {newest[:3]}…"]
    return [
        f"GET /messages has another message {message['id']}: {message}"
        for message in page
        if (message["user"], message["text"]) != acknowledged[newest[ids.index(message["id"])]]
    ]


def table_faults(
    stored: dict[int, tuple[str, str]], acknowledged: dict[int, tuple[str, str]]
) -> list[str]:
    """Nothing lost, nothing doubled, nothing changed."""
    faults = []
    if lost := acknowledged.keys() - stored.keys():
        faults.append(
            f"{len(lost)} acknowledged messages are not in the table, such as {min(lost)}"
        )
    if more := stored.keys() - acknowledged.keys():
        faults.append(
            f"{len(more)} messages in the table were not acknowledged, such as {min(more)}"
        )
    for number in stored.keys() & acknowledged.keys():
        if stored[number] != acknowledged[number]:
            faults.append(f"message {number} is {stored[number]} and was {acknowledged[number]}")
    return faults
