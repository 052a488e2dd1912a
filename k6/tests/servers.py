"""A server of this checkout, and a proxy that makes it worse in the way that a test asks for."""

import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
BINARY = os.environ.get("SERVER", str(TARGET / "debug" / "chat-server"))


def free_port() -> int:
    """One on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """On a free port, with an SQLite file in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.log = folder / f"server-{time.monotonic_ns()}.log"
        command = [BINARY, "--listen-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"]
        given = {"DATABASE_URL": f"sqlite://{folder}/chat.db", "LOG_FORMAT": "json", **settings}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **given}, stderr=log)
        self.url = self._address("Page")
        self.operations = self._address("Health")
        self._until_ready()

    def _address(self, name: str) -> str:
        for _ in range(100):
            if found := re.search(rf'"{name}: (http://[^/]*)/', self.log.read_text()):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def _until_ready(self) -> None:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{self.operations}/readyz", timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


# Gets what was asked, and the way to ask the server; gives status, headers and body, or None to reset the connection.
Answer = tuple[int, dict[str, str], bytes]
Trouble = Callable[["Request", Callable[[], Answer]], Answer | None]


class Request(BaseHTTPRequestHandler):
    """One connection of a client; each of its requests goes on over a connection of its own."""

    protocol_version = "HTTP/1.1"

    def _pass(self) -> Answer:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with closing(HTTPConnection(self.server.target)) as server:
            # A body that is too large is refused before all of it is sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _answer(self) -> None:
        try:
            found = self.server.trouble(self, self._pass)
        except (OSError, HTTPException):
            found = None
        if found is None:
            # A reset and no orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        status, headers, body = found
        lower = {name.lower(): value for name, value in headers.items()}
        lower = {name: value for name, value in lower.items() if name not in ("date", "connection")}
        self.send_response_only(status)
        for name, value in {**lower, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class Proxy(ThreadingHTTPServer):
    """Between k6 and a server."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, server: Server, trouble: Trouble) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.trouble = trouble
        self.turn_to(server)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def turn_to(self, server: Server) -> None:
        self.target = server.url.removeprefix("http://")

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none."""
