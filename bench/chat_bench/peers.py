"""The servers that are measured: which there are, how one is built, started and stopped."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from chat_bench import places
from chat_bench.client import Client, free_port
from chat_bench.processes import Usage, die_with_parent, usage
from chat_bench.quota import Quota
from chat_bench.trouble import Trouble, Unsupported, tail

OURS = "chat-server"
# Answers without a database, so it is what the others could reach at most.
CEILING = "poem"
# How tables and charts order the known ones; others follow by name.
ORDER = [OURS, CEILING, "axum", "go", "gunicorn", "flask"]

BUILD_SECONDS = 1800
READY_SECONDS = 30
STOP_SECONDS = 5
_EXIT_UNSUPPORTED = 3


def rank(name: str) -> tuple[int, str]:
    """Sorts names of variants."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


@dataclass(frozen=True)
class Peer:
    """A variant, in a folder with the executables `build` and `serve`."""

    name: str
    folder: Path

    def build(self) -> None:
        log = places.LOGS / f"{self.name}.build.log"
        try:
            with log.open("wb") as output:
                build = subprocess.run(
                    [self.folder / "build"], cwd=places.ROOT, stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT, timeout=BUILD_SECONDS, check=False,
                )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Trouble(f"{self.name} is not built after {BUILD_SECONDS} s") from error
        if build.returncode:
            raise Trouble(f"{self.name} could not be built:\n{tail(log)}")

    def serve(self, url: str, quota: Quota | None = None) -> "Server":
        return Server(self, url, quota)


def found(folder: Path, only: list[str] | None) -> list[Peer]:
    """The peers in a folder, in the usual order; `only` names some of them."""
    names = {serve.parent.name for serve in folder.glob("*/serve")}
    missing = sorted(set(only or []) - names)
    if missing:
        raise Trouble(f"There is no peer {', '.join(missing)} in {folder}")
    return [Peer(name, folder / name) for name in sorted(set(only or names), key=rank)]


class Server:
    """A running peer. As a context manager it is stopped in any case."""

    def __init__(self, peer: Peer, url: str, quota: Quota | None = None) -> None:
        def prepare() -> None:
            die_with_parent()
            if quota:
                quota.take(os.getpid())

        self.peer = peer
        self.port = free_port()
        self.log = places.LOGS / f"{peer.name}-{self.port}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [peer.folder / "serve", str(self.port), url], cwd=places.ROOT,
                stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=prepare,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.log.unlink(missing_ok=True)

    def wait_ready(self) -> Self:
        """Until it answers from its database."""
        deadline = time.monotonic() + READY_SECONDS
        with Client(self.port, timeout=2) as client:
            while client.status("/users") != 200:
                self.require_running()
                if time.monotonic() > deadline:
                    raise Trouble(f"it does not become ready:\n{tail(self.log)}")
                time.sleep(0.01)
        return self

    def require_running(self) -> None:
        """What answers on its port could be another process, if it has ended."""
        status = self.process.poll()
        if status == _EXIT_UNSUPPORTED:
            raise Unsupported(tail(self.log, 1))
        if status is not None:
            raise Trouble(f"it ended with {status}:\n{tail(self.log)}")

    def usage(self) -> Usage:
        return usage(self.process.pid)

    def stop(self) -> None:
        """In order, but soon: its data is thrown away anyway."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        # Its session is its own, so this also ends workers that outlive their parent.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
