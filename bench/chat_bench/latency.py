"""Latency of a lone client: ours against peers that send one direct statement.

All servers run at the same time and take turns in slices of a second. What the machine does besides
then meets all of them alike, and the ratio of neighbouring slices is what is kept.
"""

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack

from chat_bench import flags, wrk
from chat_bench.contest import Contest, Stage
from chat_bench.databases import opened, seeded
from chat_bench.measure import WARM_UP_SECONDS
from chat_bench.peers import OURS, Peer, Server
from chat_bench.stats import duration, rotated
from chat_bench.trouble import Trouble

HELP = "measure the latency of one client, in many short slices"
QUICK = ["--slices=2"]

WORKLOADS = ["read", "post"]
SLICE_SECONDS = 1  # The shortest that wrk can.
SLICE_OVERHEAD = 0.05


def add_flags(parser: ArgumentParser) -> None:
    """What can be chosen."""
    flags.add_databases(parser)
    flags.add_peers(parser, [OURS, "axum", "go"])
    flags.add_number(parser, "slices", 20, "slices of a second for each variant and workload")


def run(args: Namespace) -> list[str]:
    """Measures, and returns what was wrong."""
    contest = Contest(args)
    for kind in args.databases:
        with opened(kind) as database, ExitStack() as stack:
            stage = contest.enter("latency", database, slices=args.slices, seconds=SLICE_SECONDS)
            servers = {
                peer.name: stack.enter_context(seeded(peer, database)) for peer in stage.peers
            }
            steps = len(WORKLOADS) * args.slices * len(servers)
            contest.plan(f"latency on {kind}", steps, SLICE_SECONDS + SLICE_OVERHEAD)
            for workload in WORKLOADS:
                for server in servers.values():
                    wrk.load(server.port, workload, 1, WARM_UP_SECONDS)
                for number in range(args.slices):
                    for peer in rotated(stage.peers, number):
                        _slice(stage, peer, servers[peer.name], workload, number)
                stage.section.save()
            stage.section.save(finished=True)
    return contest.problems


def _slice(stage: Stage, peer: Peer, server: Server, workload: str, number: int) -> None:
    def action() -> str:
        outcome = wrk.load(server.port, workload, 1, SLICE_SECONDS)
        if outcome.failed:
            raise Trouble(f"{outcome.failed} of {outcome.requests} requests failed")
        where = {"round": number, "variant": peer.name, "workload": workload}
        mean = outcome.seconds * 1e6 / max(1, outcome.requests)
        latencies = {"p50_us": outcome.p50_us, "p99_us": outcome.p99_us, "mean_us": mean}
        stage.section.add({**where, **latencies})
        return f"p50 {duration(outcome.p50_us):>7}   p99 {duration(outcome.p99_us):>7}"

    stage.attempt(peer, f"{workload:<5} slice {number + 1:>2}", action)
