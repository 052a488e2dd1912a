"""A server of this checkout, and a proxy that makes it worse in the way that a test asks for."""

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def binary() -> str:
    """The one that SERVER names, or else this checkout's, which is built first."""
    if given := os.environ.get("SERVER"):
        return given
    subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=ROOT, check=True)
    return str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "chat-server")


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Process:
    """A program whose output goes into a log."""

    def __init__(self, log: Path, command: list[str], **settings: str) -> None:
        self.log = log
        with log.open("wb") as output:
            environment = {**os.environ, **settings}
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def wait_until(self, ready: Callable[[], object]) -> None:
        """At most 30 s. What cannot be reached is not ready."""
        for _ in range(300):
            with suppress(OSError):
                if ready():
                    return
            time.sleep(0.1)
        self.kill()
        raise SystemExit(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Server(Process):
    """With an SQLite file in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        log = folder / f"server-{time.monotonic_ns()}.log"
        address, operations = log.with_suffix(".address"), free_address()
        self.operations = f"http://{operations}"
        given = {"LISTEN_ADDR": "127.0.0.1:0", "OPS_ADDR": operations, "ADDRESS_FILE": str(address)}
        given |= {"DATABASE_URL": f"sqlite://{folder}/chat.db"} | settings
        super().__init__(log, [binary()], **given)
        # It is there when the port is open.
        self.wait_until(address.exists)
        self.url = f"http://{address.read_text().strip()}"


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

    def __init__(self, url: str, trouble: Trouble) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.trouble = trouble
        self.turn_to(url)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def turn_to(self, url: str) -> None:
        self.target = url.removeprefix("http://")

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none."""
