"""The comparison finds each number on which one of the three differs."""

import copy
import unittest

from agreement import Row, compare, table
from observed import Seen

RUN = Seen(
    k6={
        "requests": 6000,
        "requests_per_second": 100.0,
        "response_ms": {"mean": 82.6, "p99": 4027.0},
        "metrics": {"vus_max": {"values": {"max": 200}}},
        "servers": [{"cpu_of_limit": 0.1}],
        "availability": 0.995,
        "apdex": 0.985,
        "errors": {"by_code": {"text_missing": 176, "timed_out": 30}},
    },
    window={
        "requests": 6001,
        "mean_seconds": 0.082,
        "p99_seconds": 4.28,
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

    def test_a_fifth_more_or_less_of_anything_is_found(self) -> None:
        # Of p99 only more than twice as much is, because the server knows no more than a bucket.
        for name, row in {
            "requests": "requests",
            "rate": "request rate",
            "mean": "average response time",
            "connections": "connected clients",
            "cpu": "CPU",
            "availability": "availability",
            "apdex": "Apdex",
            "p99": "p99",
        }.items():
            for factor in (0.8, 1.25) if name != "p99" else (0.3, 3):
                with self.subTest(name, factor=factor):
                    seen = copy.deepcopy(RUN)
                    seen.prometheus[name] *= factor
                    self.assertEqual([row], wrong(seen))

    def test_one_error_more_is_found_and_one_that_only_one_knows(self) -> None:
        seen = copy.deepcopy(RUN)
        seen.prometheus_errors["text_missing"] += 1
        seen.window["errors"]["by_code"].append({"code": "canceled", "count": 1})
        self.assertEqual(["errors: canceled", "errors: text_missing"], wrong(seen))
        self.assertRegex(table(compare(seen)), r"✗ errors: canceled +0 +1 +0 +1 +0")

    def test_what_is_not_known_does_not_agree(self) -> None:
        self.assertFalse(Row("CPU", "", float("nan"), 1, 1, 0.1, 0).agrees)


if __name__ == "__main__":
    unittest.main()
