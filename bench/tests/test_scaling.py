"""The fits find the laws that made the numbers."""

import unittest

from chat_bench import scaling


class Scaling(unittest.TestCase):
    def test_a_power_law_is_found(self) -> None:
        found = scaling.power([100, 200, 400], [3 * x**0.5 for x in (100, 200, 400)])
        self.assertAlmostEqual(found.factor, 3)
        self.assertAlmostEqual(found.exponent, 0.5)
        self.assertAlmostEqual(found(900), 90)

    def test_the_universal_law_is_found(self) -> None:
        made = scaling.Universal(one=500, contention=0.05, crosstalk=0.01)
        found = scaling.universal([1, 2, 3, 4], [made(n) for n in (1, 2, 3, 4)])
        self.assertAlmostEqual(found.contention, 0.05)
        self.assertAlmostEqual(found.crosstalk, 0.01)

    def test_what_grows_straight_loses_nothing(self) -> None:
        for ys in ([100, 200, 300], [100, 210, 330]):
            found = scaling.universal([1, 2, 3], ys)
            self.assertEqual((0, 0), (found.contention, found.crosstalk))

    def test_one_cause_of_loss_does_not_make_up_for_the_other(self) -> None:
        found = scaling.universal([1, 2, 3, 4], [100, 199, 270, 300])
        self.assertEqual(0, found.contention)
        self.assertGreater(found.crosstalk, 0)
        found = scaling.universal([1, 2, 3, 4], [100, 150, 210, 270])
        self.assertEqual(0, found.crosstalk)
        self.assertGreater(found.contention, 0)

    def test_it_needs_one_and_more(self) -> None:
        for ns in ([1], [2, 3]):
            with self.assertRaises(ValueError):
                scaling.universal(ns, [1.0] * len(ns))
