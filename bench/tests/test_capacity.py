"""The capacity report, from results that were made up."""

import unittest
from dataclasses import asdict, replace

from chat_bench import capacity_report
from chat_bench.capacity import Step
from chat_bench.watch import Moment, Watch

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
        shown = capacity_report.highest([at(1, 200), *broken])
        numbers = "1 | 200 | 20 ms | 9 ms | 0.05 | 0.10 | 0.20 | 1.60 | 300 | http_req_duration |"
        self.assertIn(f"| servers limited | {numbers}", shown)
        self.assertRegex(shown, r"\| servers limited \| 2 \| < 100 .* apdex \|")

    def test_costs_are_for_a_thousand_requests(self) -> None:
        self.assertEqual([0.5, 1.0, 2.0], capacity_report.costs(STEP))

    def test_the_laws_are_those_of_the_numbers(self) -> None:
        run = [
            at(1, rate, servers_cpus=0.1 * (rate / 1000) ** 0.5, mysql_cpus=0.0003 * rate)
            for rate in (100, 400, 900)
        ]
        shown = capacity_report.laws([*run, at(2, 1800)])
        self.assertIn("| 100 ms × (rate / 1,000)^-0.50 | 300 ms × (rate / 1,000)^0.00 |", shown)
        self.assertIn("1: 900 (law 900), 2: 1,800 (law 1,800). Contention 0.000,", shown)

    def test_results_survive_their_file(self) -> None:
        self.assertEqual(STEP, Step(**asdict(STEP)))


class Watching(unittest.TestCase):
    def test_processors_in_use_are_told_between_looks_too(self) -> None:
        watch = Watch({})
        looks = ((10, 1.0), (12, 2.0), (14, 2.0))
        watch.moments = [Moment(at, {"k6": cpu}, {"k6": 7}) for at, cpu in looks]
        self.assertAlmostEqual(0.5, watch.cores("k6", 10, 12))
        self.assertAlmostEqual(0.25, watch.cores("k6", 11, 13))
        self.assertEqual(7, watch.memory("k6", 11, 13))
