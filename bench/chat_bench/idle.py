"""Many connections that are open and silent, as those of people who are only reading."""

import selectors
import socket
import time
from types import TracebackType
from typing import Self

from chat_bench import places
from chat_bench.trouble import Trouble

# Linux's <linux/in.h>; Python 3.11 has no name for it. The port is then chosen when connecting,
# so that each source address has all of them for each server.
_IP_BIND_ADDRESS_NO_PORT = 24

# A source address has 28,000 ports by default, of which others may hold many.
_CONNECTIONS_PER_ADDRESS = 5000

# How many answers are awaited at once: fewer than servers let wait to be accepted.
_WINDOW = 64
_SECONDS_MAX = 60


class IdleConnections:
    """Opens them, lets each make one request, and keeps them open."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []
        self._deadline = time.monotonic() + _SECONDS_MAX
        try:
            while len(self._sockets) < count:
                self._open(min(_WINDOW, count - len(self._sockets)))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def alive(self) -> int:
        """How many the server has not closed."""
        return sum(map(_is_open, self._sockets))

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()
        self._sockets.clear()

    def _open(self, count: int) -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(count):
                connection = self._connect()
                self._sockets.append(connection)
                request = f"GET /users HTTP/1.1\r\nHost: {places.HOST}\r\n\r\n"
                connection.sendall(request.encode())
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ, bytearray())
            while selector.get_map():
                if time.monotonic() > self._deadline:
                    raise Trouble(f"only {len(self._sockets)} connections in {_SECONDS_MAX} s")
                for key, _ in selector.select(timeout=1):
                    if _receive(key.fileobj, key.data):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)

    def _connect(self) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(_SECONDS_MAX)
        connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        # All of 127.0.0.0/8 is this machine.
        connection.bind((f"127.0.0.{2 + len(self._sockets) // _CONNECTIONS_PER_ADDRESS}", 0))
        try:
            connection.connect((places.HOST, self._port))
        except OSError as error:
            connection.close()
            raise Trouble(f"connection {len(self._sockets) + 1} was refused: {error}") from error
        return connection


def _receive(connection: socket.socket, received: bytearray) -> bool:
    """Whether the answer is complete."""
    try:
        part = connection.recv(65536)
    except OSError as error:
        raise Trouble(f"an idle connection broke: {error}") from error
    received += part
    if not part:
        raise Trouble(f"a connection was closed and not kept alive: {bytes(received[:80])!r}")
    return is_complete(bytes(received))


def is_complete(answer: bytes) -> bool:
    """Whether these bytes are a whole answer with status 200, by length or chunks."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise Trouble(f"an idle connection was answered {head.splitlines()[0].decode()}")
    for line in head.lower().splitlines():
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
