"""A small HTTP client for everything that is not load: seeds, checks, waiting until ready."""

import http.client
import json
import random
import socket
from types import TracebackType
from typing import Any, Self

from chat_bench.places import HOST
from chat_bench.trouble import Trouble

TIMEOUT = 30  # Seconds. Only a server that hangs needs as long.

# From 32768 on the kernel gives ports to outgoing connections, which could clash.
_PORTS = range(20000, 32000)


class Client:
    """One connection, kept alive where the server does."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def status(self, path: str) -> int:
        """The status of a GET, or 0 from a server that does not answer."""
        try:
            self._connection.request("GET", path)
            response = self._connection.getresponse()
            response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0

    def get(self, path: str) -> Any:
        """The JSON that a GET answers."""
        self._connection.request("GET", path)
        return self._answer("GET", path, 200)

    def post(self, user: str, text: str) -> Any:
        """The message as it was stored."""
        body = json.dumps({"user": user, "text": text}).encode()
        self._connection.request("POST", "/message", body, {"Content-Type": "application/json"})
        return self._answer("POST", "/message", 201)

    def _answer(self, method: str, path: str, expected: int) -> Any:
        response = self._connection.getresponse()
        body = response.read()
        if response.status != expected:
            start = body[:200].decode(errors="replace")
            raise Trouble(f"{method} {path} answered {response.status} and not {expected}: {start}")
        return json.loads(body)


def free_port() -> int:
    """A port without a listener, another one each time, so that no old connection is left on it."""
    return next(port for port in random.sample(_PORTS, len(_PORTS)) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
