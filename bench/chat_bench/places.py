"""Where things are, and the one host that load may go to."""

from pathlib import Path

HOST = "127.0.0.1"

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
PEERS = BENCH / "peers"
WRK = BENCH / "wrk"
PRIVATE = ROOT / "tests" / "databases" / "private"

# Everything that a run writes; a run may be wiped by removing it.
TARGET = ROOT / "target" / "bench"
LOGS = TARGET / "log"
RESULTS = TARGET / "results.json"
QUICK_RESULTS = TARGET / "quick.json"

DOCS = ROOT / "docs"
CHARTS = DOCS / "performance"
REPORT = CHARTS / "results.md"
CAPACITY = DOCS / "capacity" / "results.md"
