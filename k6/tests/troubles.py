"""The ways in which a server can be bad."""

import itertools
import json
import threading
import time
from collections.abc import Callable

from servers import Answer, Request

Pass = Callable[[], Answer]


def none(_: Request, ask: Pass) -> Answer:
    return ask()


def slow(_: Request, ask: Pass) -> Answer:
    time.sleep(0.6)
    return ask()


counter = itertools.count()


def failing(_: Request, ask: Pass) -> Answer:
    """One in ten."""
    return (500, {"Content-Type": "text/plain"}, b"oops") if next(counter) % 10 == 9 else ask()


narrow_gate = threading.Semaphore(2)


def narrow(_: Request, ask: Pass) -> Answer:
    """At most 50 a second."""
    with narrow_gate:
        time.sleep(0.04)
        return ask()


kept: dict[str, tuple[float, Answer]] = {}
lists = itertools.count()


def stale(request: Request, ask: Pass) -> Answer:
    """As behind a load balancer with one replica that lags: every other list is two seconds old."""
    if request.command != "GET" or not request.path.startswith("/messages") or next(lists) % 2:
        return ask()
    if request.path not in kept or kept[request.path][0] < time.monotonic() - 2:
        del request.headers["If-None-Match"]
        kept[request.path] = (time.monotonic(), ask())
    return kept[request.path][1]


def page(_: Request, __: Pass) -> Answer:
    """What a gateway answers that knows only its own paths."""
    return 200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"


def undocumented(_: Request, ask: Pass) -> Answer:
    """What gateways do that bring error pages of their own."""
    status, headers, body = ask()
    if status == 404:
        return 404, {"Content-Type": "text/html"}, b"<h1>Not found</h1>"
    return status, headers, body


inside = threading.local()
clients = itertools.count()


def resetting(_: Request, ask: Pass) -> Answer | None:
    """Takes the first thirty connections, and resets the rest."""
    if not hasattr(inside, "number"):
        inside.number = next(clients)
    return ask() if inside.number < 30 else None


started = time.monotonic()


def leaking(request: Request, ask: Pass) -> Answer:
    """In front of the operations endpoints: the memory doubles each five seconds."""
    status, headers, body = ask()
    if request.path == "/stats":
        stats = json.loads(body)
        stats["memory_bytes"] *= 2 ** ((time.monotonic() - started) / 5)
        body = json.dumps(stats).encode()
    return status, headers, body
