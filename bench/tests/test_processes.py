"""What /proc says about processes."""

import os
import unittest

from chat_bench import processes, stolen


class Processes(unittest.TestCase):
    def test_a_name_with_spaces_and_parentheses_moves_no_field(self) -> None:
        text = "42 (a b) c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7"
        self.assertEqual(processes.parse_stat(text), processes.Stat(parent=7, ticks=127))

    def test_memory_is_in_bytes(self) -> None:
        status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
        self.assertEqual(processes.parse_memory(status), (1 << 20, 2 << 20))
        self.assertEqual(processes.parse_memory("Name:\tzombie\n"), (0, 0))

    def test_this_process_uses_memory(self) -> None:
        used = processes.usage(os.getpid())
        self.assertGreater(used.resident, 1 << 20)
        self.assertGreaterEqual(used.peak, used.resident)

    def test_steal_is_a_part_of_all_time_but_guests_are_counted_once(self) -> None:
        text = "cpu  40 0 20 30 0 0 0 10 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
        self.assertEqual(stolen.parse(text), (10, 100))
