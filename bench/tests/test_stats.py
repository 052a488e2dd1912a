"""Medians, ratios and readable numbers."""

import unittest

from chat_bench import stats
from chat_bench.stats import Spread


class Statistics(unittest.TestCase):
    def test_a_spread_is_the_median_between_the_extremes(self) -> None:
        self.assertEqual(stats.spread([5, 1, 3]), Spread(3, 1, 5))
        self.assertIsNone(stats.spread([]))

    def test_ratios_are_taken_round_by_round(self) -> None:
        # The machine was twice as slow in the second round; the ratio does not see it.
        self.assertEqual(stats.paired([80, 40], [100, 50]), Spread(0.8, 0.8, 0.8))
        self.assertIsNone(stats.paired([80], [0]))

    def test_each_variant_begins_once(self) -> None:
        self.assertEqual([stats.rotated("abc", by)[0] for by in range(4)], list("abca"))
        self.assertEqual(stats.rotated([], 3), [])


class Numbers(unittest.TestCase):
    def test_counts_are_grouped_and_small_ones_keep_three_digits(self) -> None:
        shown = [stats.rounded(value) for value in (52701.4, 862.2, 84.04, 4.666)]
        self.assertEqual(shown, ["52,701", "862", "84.0", "4.67"])

    def test_short_numbers_fit_an_axis(self) -> None:
        shown = [stats.short(value) for value in (862, 1000, 52701, 1e7)]
        self.assertEqual(shown, ["862", "1k", "52.7k", "10M"])

    def test_durations_have_a_fitting_unit(self) -> None:
        shown = [stats.duration(value) for value in (87, 4700, 145_000, 1_230_000)]
        self.assertEqual(shown, ["87 µs", "4.7 ms", "145 ms", "1.2 s"])

    def test_memory_has_a_fitting_unit(self) -> None:
        shown = [stats.memory(value) for value in (0, 640, 9000, 12 << 20, 3 << 30)]
        self.assertEqual(shown, ["0 B", "640 B", "8.8 KiB", "12 MiB", "3.0 GiB"])

    def test_ratios_are_exact_only_near_one(self) -> None:
        self.assertEqual(
            [stats.times(value) for value in (0.694, 8.26, 61.3)], ["0.69", "8.3", "61"]
        )

    def test_times_to_wait_read_like_a_clock(self) -> None:
        self.assertEqual(
            [stats.clock(value) for value in (7, 2050, 3720)], ["0:07", "34:10", "1:02:00"]
        )
