"""Each load test passes with a good server and fails, for the right reason, with one that is bad."""

import os
import re
import subprocess
import threading
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

import troubles
from servers import ROOT, Proxy, Server

GOOD, BAD, NO_SERVER = 0, 99, 108
# As short and as gentle as they can be, for a machine that does other things too.
LITTLE = {
    "smoke": {"DURATION": "5s"},
    "load": {"RATE": "50", "DURATION": "5s"},
    "stress": {"RATE": "120", "DURATION": "6s"},
    "spike": {"RATE": "15", "DURATION": "9s"},
    "soak": {"RATE": "20", "DURATION": "8s"},
    "breakpoint": {"RATE": "20", "STEP": "60", "MAX_RATE": "140", "DURATION": "3s"},
    "freshness": {"RATE": "8", "DURATION": "5s"},
    "errors": {"RATE": "20", "DURATION": "5s"},
    "too-many-clients": {"CLIENTS": "100", "DURATION": "4s"},
    "rollout": {"RATE": "50", "DURATION": "6s"},
}


class Scripts(unittest.TestCase):
    """Reads the terminal's output, as a user does."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(TemporaryDirectory()))

    def server(self, **settings: str) -> Server:
        server = Server(self.folder, **settings)
        self.addCleanup(server.kill)
        return server

    def proxy(self, url: str, trouble: troubles.Callable) -> Proxy:
        proxy = Proxy(url, trouble)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        return proxy

    def run_script(self, script: str, url: str, operations: str = "", **settings: str) -> tuple[int, str]:
        environment = {"K6_WEB_DASHBOARD": "false", "BASE_URL": url, "OPERATIONS_URL": operations, "RESULTS": str(self.folder)}
        environment |= LITTLE[script] | settings
        done = subprocess.run(
            [ROOT / "k6" / "run", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        print(f"   {script}: exit {done.returncode}", flush=True)
        return done.returncode, said

    def missed(self, said: str) -> list[str]:
        """The thresholds that were, without their limits."""
        return re.findall(r"✗ (\w+)", said)

    def test_a_good_server_passes_each(self) -> None:
        server = self.server()
        # too-many-clients and rollout need more than a server, and come below.
        for script in ("smoke", "load", "stress", "spike", "soak", "freshness", "errors", "breakpoint"):
            with self.subTest(script):
                code, said = self.run_script(script, server.url, server.operations)
                self.assertEqual(GOOD, code, said)
                self.assertNotIn("not asked", said)
        self.assertIn("highest rate       140 requests a second, and it did not break", said)

    def test_slow(self) -> None:
        proxy = self.proxy(self.server().url, troubles.slow)
        for script in ("smoke", "load", "soak", "freshness", "errors", "breakpoint"):
            with self.subTest(script):
                code, said = self.run_script(script, proxy.url, DURATION="4s")
                self.assertEqual(BAD, code, said)
                self.assertIn("http_req_duration", said)
                self.assertRegex(said, r"0 × 5xx, 0 × no answer")
        self.assertIn("highest rate       none: not even 20 a second", said)

    def test_failing(self) -> None:
        proxy = self.proxy(self.server().url, troubles.failing)
        for script in ("smoke", "load", "rollout"):
            with self.subTest(script):
                code, said = self.run_script(script, proxy.url)
                self.assertEqual(BAD, code, said)
                self.assertRegex(said, r"✗ (http_req_failed|failed) ")
                self.assertRegex(said, r"[1-9]\d* × 5xx, 0 × no answer: .*no_code")

    def test_narrow(self) -> None:
        """Good enough for few, not for many: that is for spike, stress and breakpoint to find out."""
        server = self.server()
        for script in ("stress", "spike"):
            with self.subTest(script):
                code, said = self.run_script(script, self.proxy(server.url, troubles.narrow).url)
                self.assertEqual(BAD, code, said)
                self.assertRegex(said, r"✗ (http_req_duration|dropped_iterations)")
        self.assertRegex(said, r"✓ http_req_duration{expected_response:true,scenario:before}")
        code, said = self.run_script("breakpoint", self.proxy(server.url, troubles.narrow).url)
        self.assertEqual(GOOD, code, said)
        self.assertIn("highest rate       20 requests a second\n", said)

    def test_stale(self) -> None:
        code, said = self.run_script("freshness", self.proxy(self.server().url, troubles.stale).url)
        self.assertEqual(BAD, code, said)
        self.assertEqual(["stale_reads"], self.missed(said))
        self.assertRegex(said, r"stale: message \d+ was missing, by list, trace [0-9a-f]{32}")

    def test_undocumented(self) -> None:
        code, said = self.run_script("errors", self.proxy(self.server().url, troubles.undocumented).url)
        self.assertEqual(BAD, code, said)
        self.assertEqual(["checks"], self.missed(said))
        self.assertIn("route_not_found: 404  <h1>", said)

    def test_leaking(self) -> None:
        server = self.server()
        code, said = self.run_script("soak", server.url, self.proxy(server.operations, troubles.leaking).url)
        self.assertEqual(BAD, code, said)
        self.assertEqual(["server_memory_growth"], self.missed(said))

    def test_memory_that_was_not_measured(self) -> None:
        server = self.server()
        page = self.proxy(server.operations, troubles.page)
        code, said = self.run_script("soak", server.url, page.url)
        self.assertEqual(BAD, code, said)
        self.assertEqual(["server_memory_bytes"], self.missed(said))
        self.assertIn(f"not asked: {page.url}/stats is not that of a chat-server", said)

    def test_too_many_clients(self) -> None:
        server = self.server(MAX_CONNECTIONS="40")
        code, said = self.run_script("too-many-clients", server.url, server.operations)
        self.assertEqual(GOOD, code, said)
        self.assertRegex(said, r"told to come again {1,}\d{2,} times")

    def test_too_few_clients(self) -> None:
        code, said = self.run_script("too-many-clients", self.server().url)
        self.assertEqual((BAD, ["refused"]), (code, self.missed(said)), said)
        self.assertIn("none: is MAX_CONNECTIONS below 100?", said)

    def test_too_many_clients_are_reset(self) -> None:
        code, said = self.run_script("too-many-clients", self.proxy(self.server().url, troubles.resetting).url)
        self.assertEqual(BAD, code, said)
        self.assertIn("✗ errors{kind:unanswered} count==0", said)

    def test_rollout(self) -> None:
        old = self.server()
        proxy = self.proxy(old.url, troubles.none)

        def replace() -> None:
            proxy.turn_to(self.server().url)
            old.stop()

        timer = threading.Timer(3, replace)
        timer.start()
        code, said = self.run_script("rollout", proxy.url)
        timer.join()
        self.assertEqual(GOOD, code, said)
        self.assertIsNotNone(old.process.returncode)

    def test_rollout_that_kills(self) -> None:
        server = self.server()
        timer = threading.Timer(3, server.kill)
        timer.start()
        code, said = self.run_script("rollout", server.url, server.operations)
        timer.join()
        self.assertEqual(BAD, code, said)
        self.assertEqual(["failed"], self.missed(said))
        self.assertRegex(said, r"[1-9]\d* × no answer: no_answer")
        self.assertRegex(said, "connected clients +not asked: .*refused")

    def test_no_server_there(self) -> None:
        for script in LITTLE:
            with self.subTest(script):
                code, said = self.run_script(script, "http://127.0.0.1:1", WAIT="0s")
                self.assertEqual(NO_SERVER, code, said)
                self.assertEqual(1, len(said.splitlines()), said)
                self.assertIn("http://127.0.0.1:1 cannot be reached (", said)

    def test_a_report_needs_nothing_else(self) -> None:
        server = self.server()
        code, said = self.run_script("load", server.url, server.operations, K6_WEB_DASHBOARD="true")
        self.assertEqual(GOOD, code, said)
        report = (self.folder / "report.html").read_text()
        self.assertNotRegex(report, r'<(script|link|img)[^>]+(src|href)="?(https?:)?//')


if __name__ == "__main__":
    unittest.main()
