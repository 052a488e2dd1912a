"""What wrk prints, as bench/wrk/common.lua makes it."""

import unittest

from chat_bench import wrk
from chat_bench.trouble import Trouble

OUTPUT = """Running 2s test @ http://127.0.0.1:21555
  2 threads and 64 connections
Requests/sec:   1533.38
{"requests":3220,"duration_us":2100000,"bytes":1463938,"p50_us":37904,"p99_us":72224,"p999_us":79398,\
"errors":{"status":20,"connect":0,"read":1,"write":0,"timeout":0},"statuses":{"201":3200,"503":20}}
"""


class Wrk(unittest.TestCase):
    def test_the_result_is_the_line_of_json(self) -> None:
        outcome = wrk.parse(OUTPUT, client_cpu_seconds=0.5)
        self.assertEqual((outcome.requests, outcome.seconds, outcome.p99_us), (3220, 2.1, 72224))
        self.assertEqual(outcome.statuses, {"201": 3200, "503": 20})
        self.assertEqual(outcome.client_cpu_seconds, 0.5)

    def test_failed_requests_are_not_successful(self) -> None:
        outcome = wrk.parse(OUTPUT)
        self.assertEqual((outcome.failed, outcome.successful), (20, 3200))

    def test_no_result_is_trouble(self) -> None:
        with self.assertRaisesRegex(Trouble, "unable to connect"):
            wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")
