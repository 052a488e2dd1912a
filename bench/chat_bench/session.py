"""One benchmark at a time, and one that leaves nothing behind when it is interrupted."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from chat_bench import places

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def alone() -> Iterator[None]:
    """Two at a time would measure each other, and wipe each other's databases."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    with (places.TARGET / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another benchmark to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def interruptible() -> None:
    """Makes each signal that ends a program a KeyboardInterrupt, so that what was started ends."""
    for each in _SIGNALS:
        signal.signal(each, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: a second signal must not interrupt the cleaning up."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
