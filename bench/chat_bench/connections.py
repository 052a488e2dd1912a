"""How throughput and memory bear many open connections, most of them idle."""

import resource
from argparse import ArgumentParser, Namespace
from itertools import product

from chat_bench import flags
from chat_bench.contest import Contest, Stage
from chat_bench.databases import opened, seeded
from chat_bench.idle import IdleConnections
from chat_bench.measure import OVERHEAD_SECONDS, WARM_UP_SECONDS, measure
from chat_bench.peers import OURS, Peer
from chat_bench.stats import memory, rotated

HELP = "measure with up to 10,000 open connections, most of them idle"
QUICK = ["--open=256,2000", "--rounds=1", "--seconds=1"]

WORKLOAD = "read"
# Sockets of the idle ones, and some files.
FILES_BESIDE = 200
# Opening ten thousand takes some seconds.
OPENING_SECONDS = 2


def add_flags(parser: ArgumentParser) -> None:
    """What can be chosen."""
    flags.add_databases(parser, ["mysql"])
    flags.add_peers(parser, [OURS, "axum", "go"])
    flags.add_numbers(
        parser, "open", [256, 1000, 4000, 10_000], "open connections, the active ones included"
    )
    flags.add_number(parser, "active", 256, "connections that ask all the time")
    flags.add_rounds(parser, rounds=3, seconds=5)


def run(args: Namespace) -> list[str]:
    """Measures, and returns what was wrong."""
    _allow_files(max(args.open) + FILES_BESIDE)
    contest = Contest(args)
    for kind in args.databases:
        with opened(kind) as database:
            settings = {"rounds": args.rounds, "seconds": args.seconds, "active": args.active}
            stage = contest.enter("connections", database, **settings)
            steps = args.rounds * len(args.open) * len(stage.peers)
            overhead = OVERHEAD_SECONDS + OPENING_SECONDS
            contest.plan(f"connections on {kind}", steps, args.seconds + WARM_UP_SECONDS + overhead)
            for number, (place, opened_count) in product(range(args.rounds), enumerate(args.open)):
                for peer in rotated(stage.peers, number + place):
                    _measure(args, stage, peer, number, opened_count)
                stage.section.save()
            stage.section.save(finished=True)
    return contest.problems


def _measure(args: Namespace, stage: Stage, peer: Peer, number: int, opened_count: int) -> None:
    idle_count = max(0, opened_count - args.active)

    def action() -> str:
        with seeded(peer, stage.database) as server:
            before = server.usage().resident
            with IdleConnections(server.port, idle_count) as idle:
                each = (server.usage().resident - before) / idle_count if idle_count else 0
                sample = measure(server, stage.database, WORKLOAD, args.active, args.seconds)
                alive = idle.alive()
        where = {"round": number, "variant": peer.name, "open": opened_count, "idle": idle_count}
        stage.section.add(sample.row(**where, idle_alive=alive, memory_each=each))
        lost = f"   {idle_count - alive} idle ones CLOSED" if alive < idle_count else ""
        return f"{sample}   {memory(each)} each{lost}"

    stage.attempt(peer, f"{opened_count:>5} open", action)


def _allow_files(count: int) -> None:
    """Servers inherit this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        # Only root may raise the hard limit; anybody else gets as much as there is.
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
        except ValueError:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
