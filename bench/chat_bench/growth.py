"""How throughput bears a long history: millions of messages, hundreds of thousands of users."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import dataclass
from itertools import product

from chat_bench import flags
from chat_bench.client import Client
from chat_bench.contest import Contest, Stage
from chat_bench.databases import NAMES, SEEDS, Database, fresh, opened
from chat_bench.measure import OVERHEAD_SECONDS, WARM_UP_SECONDS, measure
from chat_bench.peers import OURS, Peer
from chat_bench.stats import clock, rotated, short

HELP = "measure with up to 10 million messages and 1 million users"
QUICK = ["--sizes=100:10,1e5:1e4", "--rounds=1", "--seconds=1"]

CONNECTIONS = 256

# `post` is by the same few people all the time, `post-any` by any of all users.
WORKLOADS = ["read", "post", "post-any", "users"]

# The first has a full page of messages, the second of users too: below that, answers are shorter
# and so faster, which says nothing about growth.
SIZES = "100:10,1000:1000,1e6:1e5,1e7:1e6"


@dataclass(frozen=True)
class Size:
    """How much a database holds."""

    messages: int
    users: int

    def __str__(self) -> str:
        return f"{short(self.messages)}:{short(self.users)}"


def sizes(text: str) -> list[Size]:
    """Ascending, because one database is filled further and further."""
    parsed = []
    for word in flags.words(text):
        messages, colon, users = word.partition(":")
        if not colon:
            raise ArgumentTypeError(f"{word} is not MESSAGES:USERS")
        parsed.append(Size(flags.number(messages), flags.number(users)))
    if any(size.messages < SEEDS or size.users < NAMES for size in parsed):
        raise ArgumentTypeError(f"no size may be below {SEEDS}:{NAMES}")
    return sorted(parsed, key=lambda size: size.messages)


def add_flags(parser: ArgumentParser) -> None:
    """What can be chosen."""
    flags.add_databases(parser)
    flags.add_peers(parser, [OURS, "axum"])
    parser.add_argument(
        "--sizes", type=sizes, default=sizes(SIZES), metavar="LIST",
        help=f"MESSAGES:USERS,… (default: {SIZES})",
    )  # fmt: skip
    flags.add_rounds(parser, rounds=3, seconds=3)


def run(args: Namespace) -> list[str]:
    """Measures, and returns what was wrong."""
    contest = Contest(args)
    for kind in args.databases:
        with opened(kind) as database:
            settings = {"rounds": args.rounds, "seconds": args.seconds, "connections": CONNECTIONS}
            stage = contest.enter("growth", database, **settings)
            steps = args.rounds * len(args.sizes) * len(WORKLOADS) * len(stage.peers)
            each = args.seconds + WARM_UP_SECONDS + OVERHEAD_SECONDS
            contest.plan(f"growth on {kind}, and time to fill", steps, each)
            with fresh(database) as url:
                for size in args.sizes if stage.peers else []:
                    _fill(stage.peers[0], database, url, size)
                    for number, workload in product(range(args.rounds), WORKLOADS):
                        for peer in rotated(stage.peers, number):
                            _measure(args, stage, url, peer, number, size, workload)
                    stage.section.save()
            stage.section.save(finished=True)
    return contest.problems


def _fill(peer: Peer, database: Database, url: str, size: Size) -> None:
    """The server makes the tables; SQL fills them, because HTTP would take hours."""
    print(
        f"Filling {database.name} up to {size.messages:,} messages of {size.users:,} users ", end=""
    )
    begun = time.monotonic()
    with peer.serve(url) as server:
        server.wait_ready()
    database.fill(url, size.messages, size.users)
    print(f" {clock(time.monotonic() - begun)}", flush=True)


def _measure(
    args: Namespace, stage: Stage, url: str, peer: Peer, number: int, size: Size, workload: str
) -> None:
    def action() -> str:
        with peer.serve(url) as server:
            server.wait_ready()
            names = size.users if workload == "post-any" else NAMES
            load = (workload.removesuffix("-any"), CONNECTIONS, args.seconds, names)
            sample = measure(server, stage.database, *load)
            with Client(server.port) as client:
                newest = client.get("/messages")["messages"][0]["id"]
        where = {"round": number, "variant": peer.name, "workload": workload}
        stage.section.add(
            sample.row(**where, messages=size.messages, users=size.users, newest=newest)
        )
        return str(sample)

    stage.attempt(peer, f"{size!s:>9} {workload:<8}", action)
