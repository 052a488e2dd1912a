"""The comparison finds each number on which one of the three differs."""

import copy
import unittest
from math import nan

from agreement import Row, compare, table
from observed import Seen

RUN = Seen(
    k6={
        "requests": 6000,
        "requests_per_second": 100.0,
        "response_ms": {"mean": 82.6, "p50": 1.4, "p99": 4027.0},
        "metrics": {"vus_max": {"values": {"max": 200}}},
        "servers": [{"cpu_of_limit": 0.1}],
        "availability": 0.995,
        "apdex": 0.985,
        "errors": {"by_code": {"text_missing": 176, "timed_out": 30}},
    },
    window={
        "requests": 6001,
        "mean_seconds": 0.082,
        "p50_seconds": 0.0011,
        "p99_seconds": 4.01,
        "connections_peak": 197,
        "availability": 0.995,
        "apdex": 0.985,
        "errors": {"by_code": [{"code": "text_missing", "count": 176}, {"code": "timed_out", "count": 30}]},
    },
    steps=[{"requests_per_second": 101.0, "cpu_process": 0.102}, {"requests_per_second": 99.4, "cpu_process": 0.1}],
    prometheus={
        "requests": 6001,
        "rate": 99.9,
        "mean": 0.0821,
        "p50": 0.0011,
        "p99": 4.28,
        "connections": 196,
        "cpu": 0.101,
        "availability": 0.995,
        "apdex": 0.985,
    },
    prometheus_errors={"text_missing": 176, "timed_out": 30},
)


def wrong(seen: Seen) -> list[str]:
    return [row.name for row in compare(seen) if not row.agrees]


class Agreement(unittest.TestCase):
    def test_what_is_the_same_agrees(self) -> None:
        self.assertEqual([], wrong(RUN))
        self.assertNotIn("✗", table(compare(RUN)))

    def test_a_third_more_or_less_of_anything_is_found(self) -> None:
        for name, row in {
            "requests": "requests",
            "rate": "request rate, /s",
            "mean": "mean response time, ms",
            "p50": "p50, ms",
            "p99": "p99, ms",
            "connections": "connected clients",
            "cpu": "CPU, % of its share",
            "availability": "availability, %",
            "apdex": "Apdex",
        }.items():
            for factor in (0.67, 1.33):
                with self.subTest(name, factor=factor):
                    seen = copy.deepcopy(RUN)
                    seen.prometheus[name] *= factor
                    self.assertEqual([row], wrong(seen))

    def test_a_percentile_of_stats_is_within_a_tenth_of_the_one_of_k6(self) -> None:
        for p99, agrees in ((3700.0, True), (4400.0, True), (3500.0, False), (4600.0, False)):
            seen = copy.deepcopy(RUN)
            seen.k6["response_ms"]["p99"] = p99
            self.assertEqual([] if agrees else ["p99, ms"], wrong(seen), p99)

    def test_one_error_more_is_found_and_one_that_only_one_knows(self) -> None:
        seen = copy.deepcopy(RUN)
        seen.prometheus_errors["text_missing"] += 1
        seen.window["errors"]["by_code"].append({"code": "canceled", "count": 1})
        self.assertEqual(["errors: canceled", "errors: text_missing"], wrong(seen))
        self.assertRegex(table(compare(seen)), r"✗ errors: canceled +0 +1 +0 +1 +0")

    def test_what_is_not_known_does_not_agree(self) -> None:
        for values in ([nan, 1, 1], [1, nan, 1], [1, 1, nan]):
            row = Row("CPU", *values, share=0.1, more=0)
            self.assertFalse(row.agrees)
            self.assertIn("–", table([row]))
        seen = copy.deepcopy(RUN)
        seen.window["p99_seconds"] = None
        del seen.prometheus["apdex"]
        self.assertEqual(["p99, ms", "Apdex"], wrong(seen))


if __name__ == "__main__":
    unittest.main()
