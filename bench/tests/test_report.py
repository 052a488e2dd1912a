"""The report and its charts, from results that were made up."""

import unittest
from xml.etree import ElementTree

from chat_bench import charts, goals, report, tables
from chat_bench.charts import Chart
from chat_bench.samples import relative, section
from chat_bench.trouble import Trouble
from tests import fake

SVG = "{http://www.w3.org/2000/svg}"


class Report(unittest.TestCase):
    def setUp(self) -> None:
        self.results = fake.results()
        self.charts: dict[str, Chart] = {}

    def body(self) -> str:
        return "\n\n".join(report.body(self.results, self.charts))

    def test_text_around_the_markers_stays(self) -> None:
        text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        written = report.insert(text, "new")
        self.assertEqual(written, f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")
        self.assertEqual(report.insert(written, "new"), written)

    def test_a_page_without_markers_is_not_touched(self) -> None:
        with self.assertRaises(Trouble):
            report.insert("no markers", "new")

    def test_every_chart_is_shown_and_every_shown_chart_exists(self) -> None:
        body = self.body()
        self.assertEqual(body.count("!["), len(self.charts))
        for name in self.charts:
            self.assertIn(f"({name}.svg)", body)

    def test_charts_are_well_formed_and_say_in_words_what_they_show(self) -> None:
        self.body()
        for name, chart in self.charts.items():
            root = ElementTree.fromstring(chart.svg())
            about = ElementTree.tostring(root.find(f"{SVG}metadata"), encoding="unicode")
            self.assertIn(chart.title, about, name)
            self.assertIn(chart.words.split(";")[0], about, name)

    def test_an_interrupted_or_failing_run_is_warned_of(self) -> None:
        self.assertEqual(list(report.warnings(self.results)), [])
        compared = self.results["compare"]["mysql"]
        compared.update(finished=False, commit="0123abc-dirty")
        compared["samples"][0]["errors"]["timeout"] = 7
        compared["samples"][1]["stolen"] = 0.31
        shown = "\n".join(report.warnings(self.results))
        for word in ("interrupted", "not committed", "7 requests to chat-server", "in 1 of 120", "most 31%"):
            self.assertIn(word, shown)

    def test_a_part_that_was_not_measured_is_left_out(self) -> None:
        del self.results["compare"], self.results["growth"]
        self.assertNotIn("## Throughput", self.body())
        self.assertIn("## A lone client", self.body())


class Contents(unittest.TestCase):
    def setUp(self) -> None:
        self.results = fake.results()

    def test_goals_know_which_way_is_better(self) -> None:
        verdicts = {goal.what: goal.verdict for goal in goals.all_goals(self.results)}
        self.assertEqual(verdicts["GET /messages, 256 connections: of the ceiling"], "not met")
        self.assertEqual(verdicts["GET /messages, 256 connections: × go"], "met")
        self.assertEqual(verdicts["Memory per idle connection"], "exceeded")
        self.assertEqual(verdicts["GET /messages, 256 connections: 99 %, of go’s"], "met")

    def test_users_are_compared_from_a_full_page_on(self) -> None:
        samples = section(self.results, "growth", "mysql").where(variant="axum", workload="users")
        self.assertEqual(relative(samples), [None, 1.0, 1.0])

    def test_a_comparison_has_ratios_to_the_ceiling_and_to_us(self) -> None:
        shown = tables.comparison(section(self.results, "compare", "mysql"), "mysql")
        self.assertRegex(shown, r"\| 256 \| go \| 4,000 \| 4,000–4,000 \| 0\.05 \| 10\.0 \|")

    def test_a_trial_with_few_connections_has_charts_too(self) -> None:
        rows = self.results["compare"]["mysql"]["samples"]
        rows[:] = [row for row in rows if row["connections"] == 1]
        chart = charts.throughput(section(self.results, "compare", "mysql"), "mysql")
        self.assertIn("1 connections", chart.svg())

    def test_a_variant_that_is_missing_somewhere_breaks_no_chart(self) -> None:
        rows = self.results["compare"]["mysql"]["samples"]
        rows[:] = [row for row in rows if (row["variant"], row["workload"]) != ("go", "read")]
        samples = section(self.results, "compare", "mysql")
        for draw in (charts.throughput, charts.tails, charts.scaling):
            self.assertIn("<svg", draw(samples, "mysql").svg())
