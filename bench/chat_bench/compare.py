"""All variants in turn, on each database, workload and number of connections."""

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from itertools import product

from chat_bench import flags, peers
from chat_bench.contest import Contest, Stage
from chat_bench.databases import opened, seeded
from chat_bench.measure import OVERHEAD_SECONDS, WARM_UP_SECONDS, WORKLOADS, measure
from chat_bench.peers import Peer
from chat_bench.stats import clock, rotated

HELP = "measure all variants against each other"
QUICK = ["--workloads=read,post", "--connections=1,64", "--rounds=1", "--seconds=1"]


def add_flags(parser: ArgumentParser) -> None:
    """What can be chosen."""
    flags.add_databases(parser)
    flags.add_peers(parser)
    flags.add_workloads(parser, WORKLOADS)
    flags.add_numbers(
        parser, "connections", [1, 64, 256, 1024], "connections that ask all the time"
    )
    flags.add_rounds(parser, rounds=3, seconds=5)


def run(args: Namespace) -> list[str]:
    """Measures, and returns what was wrong."""
    cells = list(product(args.workloads, args.connections))
    seconds_each = args.seconds + WARM_UP_SECONDS + OVERHEAD_SECONDS
    most = args.rounds * len(cells) * len(args.databases)
    most *= len(peers.found(args.peers_folder, args.peers))
    print(f"At most {most} measurements, {clock(most * seconds_each)} and the time to build")
    contest = Contest(args)
    with ExitStack() as stack:
        databases = [stack.enter_context(opened(kind)) for kind in args.databases]
        settings = {"rounds": args.rounds, "seconds": args.seconds}
        stages = [contest.enter("compare", database, **settings) for database in databases]
        steps = args.rounds * len(cells) * sum(len(stage.peers) for stage in stages)
        contest.plan("compare", steps, seconds_each)
        for number in range(args.rounds):
            for stage, (place, cell) in product(stages, enumerate(cells)):
                for peer in rotated(stage.peers, number + place):
                    _measure(args, stage, peer, number, *cell)
                stage.section.save(finished=number + 1 == args.rounds and cell == cells[-1])
    return contest.problems


def _measure(
    args: Namespace, stage: Stage, peer: Peer, number: int, workload: str, connections: int
) -> None:
    def action() -> str:
        with seeded(peer, stage.database) as server:
            sample = measure(server, stage.database, workload, connections, args.seconds)
        where = {"round": number, "variant": peer.name, "workload": workload}
        stage.section.add(sample.row(**where, connections=connections))
        return str(sample)

    stage.attempt(peer, f"{workload:<5} {connections:>4} conn.", action)
