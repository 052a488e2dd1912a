"""How long a server takes from exec to ready on SQLite, and what memory it holds then."""

import os
import time
from argparse import ArgumentParser, Namespace
from itertools import product

from chat_bench import flags
from chat_bench.client import Client
from chat_bench.contest import Contest, Stage
from chat_bench.databases import fresh, opened
from chat_bench.peers import OURS, READY_SECONDS, Peer, Server
from chat_bench.stats import duration, memory
from chat_bench.trouble import Trouble, tail

HELP = "measure the time from exec to ready, and the memory of an idle server"
QUICK = ["--runs=3"]

# With a new file the tables are made first, with an old one they are there.
FILES = ["new", "old"]
# Ours says when it is ready; of the others the first answer tells.
READY_PATHS = {OURS: "/readyz"}
POLL_SECONDS = 0.0003
IDLE_SECONDS = 0.5


def add_flags(parser: ArgumentParser) -> None:
    """What can be chosen."""
    flags.add_peers(parser, [OURS, "axum"])
    flags.add_number(
        parser, "runs", 20, "starts of each variant with a new file and with an old one"
    )


def run(args: Namespace) -> list[str]:
    """Measures, and returns what was wrong."""
    contest = Contest(args)
    with opened("sqlite") as database:
        stage = contest.enter("start", database, runs=args.runs)
        contest.plan("start", args.runs * len(stage.peers), 2 * (IDLE_SECONDS + 0.2))
        for number, peer in product(range(args.runs), stage.peers):
            _measure(stage, peer, number)
        stage.section.save(finished=True)
    return contest.problems


def _measure(stage: Stage, peer: Peer, number: int) -> None:
    def action() -> str:
        texts = []
        with fresh(stage.database) as url:
            for file in FILES:
                with peer.serve(url) as server:
                    ready = _time_to_ready(server, READY_PATHS.get(peer.name, "/users"))
                    time.sleep(IDLE_SECONDS)
                    resident = server.usage().resident
                where = {"round": number, "variant": peer.name, "file": file}
                stage.section.add({**where, "ready_us": ready * 1e6, "idle_memory": resident})
                texts.append(f"{file} file {duration(ready * 1e6):>7}, {memory(resident)}")
        return "   ".join(texts)

    stage.attempt(peer, f"start {number + 1:>2}", action)


def _time_to_ready(server: Server, path: str) -> float:
    """Counts from the last exec: `serve` may be a shell script, whose time is not the server's."""
    deadline = time.monotonic() + READY_SECONDS
    link = f"/proc/{server.process.pid}/exe"
    program, begun = "", time.perf_counter()
    while time.monotonic() < deadline:
        now = time.perf_counter()
        try:
            running = os.readlink(link)
        except OSError:
            break
        if running != program:
            program, begun = running, now
        with Client(server.port, timeout=2) as client:
            if client.status(path) == 200:
                return time.perf_counter() - begun
        time.sleep(POLL_SECONDS)
    raise Trouble(f"it does not become ready:\n{tail(server.log)}")
