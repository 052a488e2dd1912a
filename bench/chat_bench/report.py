"""Writes docs/performance/results.md and its charts from what was measured."""

from collections.abc import Iterator
from typing import Any

from chat_bench import charts, goals, places, tables
from chat_bench.charts import Chart
from chat_bench.measure import STOLEN_MAX, TRIES_MAX
from chat_bench.peers import CEILING, OURS
from chat_bench.samples import DATABASES, Samples, peers_of, section, under_load
from chat_bench.stats import clock, rounded, times
from chat_bench.trouble import Trouble

HELP = "write docs/performance/results.md and its charts from the results"

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def write(results: dict[str, Any]) -> None:
    """Replaces what is between the markers, and all charts."""
    text = places.REPORT.read_text()
    drawn: dict[str, Chart] = {}
    written = "\n\n".join(filter(None, body(results, drawn)))
    places.REPORT.write_text(insert(text, written))
    places.CHARTS.mkdir(exist_ok=True)
    for old in places.CHARTS.glob("*.svg"):
        old.unlink()
    for name, it in drawn.items():
        (places.CHARTS / f"{name}.svg").write_text(it.svg())
    print(f"Wrote {places.REPORT.relative_to(places.ROOT)} and {len(drawn)} charts\n")
    for goal in goals.all_goals(results):
        measured, least = goal.unit(goal.measured), goal.limit(goal.least)
        print(f"{goal.verdict:>9}  {measured:>8}  ({least})  {goal.what}")


def insert(text: str, body: str) -> str:
    """The text with another body between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Trouble(f"{places.REPORT} needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def body(results: dict[str, Any], drawn: dict[str, Chart]) -> Iterator[str]:
    """The parts of the report; puts the charts that it shows into `drawn`."""
    if not results:
        raise Trouble("Nothing was measured yet: bench/run --help")

    def chart(name: str, it: Chart) -> str:
        drawn[name] = it
        return f"![{it.title}]({name}.svg)"

    compared = _sections(results, "compare")
    yield "\n".join(f"> ⚠ {warning}\n>" for warning in warnings(results)).removesuffix("\n>")
    for database, samples in compared.items():
        yield summary(*under_load(samples), database)
    for heading, draw in (
        ("Throughput", charts.throughput),
        ("Latency under load", charts.tails),
        ("Processor time", charts.cost),
        ("Connections", charts.scaling),
    ):
        if compared:
            yield f"## {heading}"
        for database, samples in compared.items():
            yield chart(f"{draw.__name__}-{database}", draw(samples, database))
    for database, samples in compared.items():
        yield folded(f"All numbers on {DATABASES[database]}", tables.comparison(samples, database))
    if latency := _sections(results, "latency"):
        yield "## A lone client"
        yield chart("latency", charts.latency(latency))
        yield folded("Numbers", tables.latency(latency))
    if growth := _sections(results, "growth"):
        yield "## A long history"
        yield chart("growth", charts.growth(growth))
        for database, samples in growth.items():
            yield folded(f"Numbers on {DATABASES[database]}", tables.growth(samples))
    for database, samples in _sections(results, "connections").items():
        yield f"## Ten thousand connections on {DATABASES[database]}"
        active = results["connections"][database]["settings"]["active"]
        yield chart(f"connections-{database}", charts.connections(samples, active))
        yield folded("Numbers", tables.connections(samples))
    if start := section(results, "start", "sqlite").rows:
        yield "## Start\n\n" + tables.start(Samples(start))
    yield "## Goals\n\n" + tables.goals(goals.all_goals(results))
    yield "## Where and how\n\n" + _provenance(results)


def summary(at: Samples, connections: int, database: str) -> str:
    """The most important numbers as a sentence."""
    parts = []
    for workload, name in (("read", "reads"), ("post", "posts")):
        of = at.where(workload=workload)
        if ours := of.where(variant=OURS).spread("rps"):
            names = {CEILING: "of the ceiling", **{peer: f"× {peer}" for peer in peers_of(of)}}
            ratios = [(names[peer], of.ratio("rps", OURS, peer)) for peer in names]
            said = [f"{times(ratio.median)} {beside}" for beside, ratio in ratios if ratio]
            parts.append(f"**{rounded(ours.median)} {name}** a second ({', '.join(said)})")
    where = f"On {DATABASES[database]}, {connections} connections get"
    return f"{where} {' and '.join(parts)}." if parts else ""


def _sections(results: dict[str, Any], command: str) -> dict[str, Samples]:
    found = {database: section(results, command, database) for database in results.get(command, {})}
    return {database: samples for database, samples in found.items() if samples.rows}


def folded(summary: str, text: str) -> str:
    """A part that opens on a click."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def warnings(results: dict[str, Any]) -> Iterator[str]:
    """What a reader has to know before trusting a number."""
    for command, database, part in _parts(results):
        where = f"`{command}` on {DATABASES[database]}"
        if not part["finished"]:
            yield f"{where} was interrupted: its numbers are of fewer rounds."
        if part["commit"].endswith("-dirty"):
            yield f"{where} measured files that are not committed."
        samples = Samples(part["samples"])
        stolen = [row["stolen"] for row in samples.rows if row.get("stolen", 0) > STOLEN_MAX]
        if stolen:
            yield (
                f"{where}: in {len(stolen)} of {len(samples.rows)} samples the machine’s host took"
                f" more than {STOLEN_MAX:.0%} of the processors, at most {max(stolen):.0%}, each of"
                f" {TRIES_MAX} tries."
            )
        for variant in samples.variants():
            if failed := samples.where(variant=variant).failed():
                yield f"{where}: {failed:,} requests to {variant} failed, which do not count."


def _provenance(results: dict[str, Any]) -> str:
    versions: dict[str, dict[str, str]] = {}
    mysql: dict[str, str] = {}
    rows = []
    for command, database, part in _parts(results):
        versions |= part.get("peers", {})
        mysql = part.get("database") or mysql
        settings = ", ".join(f"{name} {value}" for name, value in part["settings"].items())
        rows.append(
            [f"`{part['command']}`", f"{command} on {DATABASES[database]}", settings, part["date"],
             f"`{part['commit']}`", clock(part["took_seconds"])]
        )  # fmt: skip
    header = ["command", "measured", "settings", "date", "commit", "took"]
    made = tables.table(header, rows, words=6)
    return f"{tables.machine(results['machine'], versions, mysql)}\n\n{made}"


def _parts(results: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for command, sections in results.items():
        if command != "machine":
            for database, part in sections.items():
                yield command, database, part
