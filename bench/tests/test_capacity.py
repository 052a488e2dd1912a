"""The capacity report, from results that were made up."""

import unittest
from dataclasses import asdict, replace

from chat_bench import capacity_report
from chat_bench.capacity import Climb, Setting, Step, steps_of
from chat_bench.trouble import Trouble
from chat_bench.watch import Moment, Watch
from tests import fake

STEP = Step(
    name="servers limited", servers=1, rate=100, requests=100.0, dropped=0, p50_ms=3.0, p99_ms=20.0,
    inner_p99_ms=9.0, held=True, failed=[], servers_cpus=0.05, mysql_cpus=0.1, k6_cpus=0.2,
    idle_cpus=1.6, server_memory=20.0, mysql_memory=400.0,
)  # fmt: skip


def at(servers: int, rate: int, **others: object) -> Step:
    return replace(STEP, servers=servers, rate=rate, requests=float(rate), **others)


class Report(unittest.TestCase):
    def test_what_holds_after_something_broke_does_not_count(self) -> None:
        run = [at(1, 100), at(1, 200), at(1, 300, held=False), at(1, 400)]
        self.assertEqual(200, capacity_report.best(run).rate)
        self.assertIsNone(capacity_report.best([at(1, 100, held=False)]))

    def test_the_highest_rate_is_shown_with_what_gave_way_next(self) -> None:
        slow = ["http_req_duration p(99)<=500", "http_req_duration p(90)<=500"]
        broken = [at(1, 300, held=False, failed=slow), at(2, 100, held=False, failed=["apdex"])]
        shown = capacity_report.highest([[at(1, 200), broken[0]], [broken[1]]])
        numbers = "200 | 20 ms | 9 ms | 0.050 | 0.100 | 0.200 | 1.600 | 300 | http_req_duration |"
        self.assertIn(f"| servers limited | 1 | {numbers}", shown)
        self.assertRegex(shown, r"\| servers limited \| 2 \| < 100 .* apdex \|")

    def test_costs_are_for_a_thousand_requests(self) -> None:
        not_sent = replace(at(1, 400, held=False, dropped=3000), requests=200.0)
        shown = capacity_report.cost([[replace(STEP, name="no limits"), not_sent]])
        costs = "| 1 | 100 | 3.0 ms | 20 ms | 0.500 | 1.000 | 2.000 | 20 | 400 | 0 | ✓ |"
        self.assertIn(costs, shown)
        self.assertIn("| – | – | – | 20 | 400 | 3,000 | ✗ |", shown)

    def test_what_more_servers_bring_is_told_where_there_are_several(self) -> None:
        runs = [[at(1, 900)], [at(2, 1800)]]
        self.assertEqual(
            "Requests a second by servers, servers limited: 1: 900, 2: 1,800.",
            capacity_report.added("servers limited", runs),
        )
        self.assertEqual("", capacity_report.added("servers limited", runs[:1]))

    def test_results_survive_their_file_and_differences_are_told(self) -> None:
        climb = Climb("abc", "2026-01-01", 15, 0.0, {"version": "8"}, [STEP])
        other = replace(climb, commit="def", stolen=0.07)
        self.assertEqual(climb, capacity_report.climbed(asdict(climb)))
        shown = capacity_report.where({"machine": fake.results()["machine"]}, [climb, other, climb])
        self.assertIn("commit `abc`, 15 s a rate; 2026-01-01, commit `def`", shown)
        self.assertIn("took 7.0% of its processors", shown)

    def test_without_a_climb_there_is_no_report(self) -> None:
        with self.assertRaises(Trouble):
            list(capacity_report.body({"soak": {}}))


class Watching(unittest.TestCase):
    def test_processors_in_use_are_told_between_looks_too(self) -> None:
        watch = Watch({})
        looks = ((10, 1.0), (12, 2.0), (14, 2.0))
        watch.moments = [Moment(at, {"k6": cpu}, {"k6": 7}) for at, cpu in looks]
        self.assertAlmostEqual(0.5, watch.cores("k6", 10, 12))
        self.assertAlmostEqual(0.25, watch.cores("k6", 11, 13))
        self.assertEqual(7, watch.memory("k6", 11, 13))

    def test_a_step_is_looked_at_when_it_has_settled(self) -> None:
        watch = Watch({})
        # One processor while it settles, for the first five seconds; then a quarter of one.
        used = {at: min(at, 15) + max(0, at - 15) / 4 for at in range(41)}
        watch.moments = [
            Moment(at, dict.fromkeys(("server-0", "mysql", "k6", "idle"), cpu), memory)
            for at, cpu in used.items()
            for memory in [dict.fromkeys(("server-0", "mysql"), 7 << 20)]
        ]
        step = {"rate": 50, "requests": 1000, "dropped": 0, "held": True, "failed": []}
        step["response_ms"] = {"p50": 1, "p99": 2}
        points = [
            {"at": f"1970-01-01T00:00:{at}Z", "p99_seconds": p99}
            for at, p99 in ((19, 9.0), (20, 0.5), (30, 0.25), (31, 9.0), (29, None))
        ]
        found = {
            "started_at": "1970-01-01T00:00:10Z",
            "steps": [step],
            "servers": [{"history": {"step_seconds": 5, "points": points}}, {"trouble": "busy"}],
        }
        (it,) = steps_of(Setting("", 1, 50, 50), watch, found, seconds=20)
        self.assertEqual((50, 500), (it.requests, it.inner_p99_ms))
        self.assertAlmostEqual(0.25, it.servers_cpus)
        self.assertEqual((7, 7), (it.server_memory, it.mysql_memory))
