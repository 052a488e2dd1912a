"""The machine and the versions of everything, so that a number can be compared or doubted."""

import os
import platform
import re
import statistics
import subprocess
import time
import tomllib
from pathlib import Path

from chat_bench import places

SYNCS = 200
_UNKNOWN = "unknown"

# What the peers are made of; their lock files name hundreds more.
_CRATES = {"poem", "poem-openapi", "axum", "sqlx", "hyper", "tokio", "mimalloc"}
_PACKAGES = {"Flask", "Flask-RESTful", "PyMySQL", "gunicorn"}


def describe() -> dict[str, object]:
    """Everything that the report says about where it was measured."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]) * 1024,
        "kernel": platform.release(),
        "system": _field(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        "sync_us": sync_latency(places.TARGET),
        "versions": {
            "wrk": _version(["wrk", "-v"], r"wrk (?:debian/)?(\S+)"),
            "k6": _version(["k6", "version"], r"k6\S* v(\S+)"),
            "rustc": _version(["rustc", "--version"], r"rustc (\S+)"),
            "go": _version(["go", "version"], r"go(\d\S+)"),
            "python": platform.python_version(),
        },
    }


def commit() -> str:
    """What was measured, with a mark when the files differ from the commit."""
    return _version(["git", "describe", "--always", "--dirty", "--exclude=*"], r"(\S+)")


def sync_latency(folder: Path) -> dict[str, float]:
    """How long the disk takes to make a small append durable; a commit cannot be faster."""
    file = folder / "sync.probe"
    times = []
    with file.open("wb", buffering=0) as probe:
        for _ in range(SYNCS):
            probe.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(probe.fileno())
            times.append((time.perf_counter() - begun) * 1e6)
    file.unlink()
    return {"p50": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}


def peer_versions(folder: Path) -> dict[str, str]:
    """The versions that a peer's lock file or requirements pin."""
    for name, parse in (("Cargo.lock", cargo), ("go.mod", go_mod), ("requirements.txt", pip)):
        file = folder / name
        if file.exists():
            return parse(file.read_text())
    return {}


def cargo(lock: str) -> dict[str, str]:
    """The crates that matter, of a Cargo.lock."""
    packages = tomllib.loads(lock).get("package", [])
    return {crate["name"]: crate["version"] for crate in packages if crate["name"] in _CRATES}


def go_mod(text: str) -> dict[str, str]:
    """The direct requirements of a go.mod."""
    lines = [line for line in text.splitlines() if "// indirect" not in line]
    found = re.findall(r"(?:require\s+|^\s+)([\w.-]+/\S+) v(\S+)", "\n".join(lines), re.MULTILINE)
    return {module.rpartition("/")[2]: version for module, version in found}


def pip(text: str) -> dict[str, str]:
    """The packages that matter, of a requirements.txt."""
    pinned = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    return {name: version for name, version in pinned if name in _PACKAGES}


def _field(file: Path, name: str, separator: str = ":") -> str:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return _UNKNOWN
    fields = (line.partition(separator) for line in lines)
    return next((value.strip() for key, _, value in fields if key.strip() == name), _UNKNOWN)


def _version(command: list[str], pattern: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=places.ROOT)
    except OSError:
        return _UNKNOWN
    match = re.search(pattern, run.stdout + run.stderr)
    return match[1] if match else _UNKNOWN
