"""The made files, the runbook and the tests of the rules agree with each other."""

import dataclasses
import json
import re
import unittest
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chat_observability import dashboard, files, objectives, rules, text, thresholds
from chat_observability.objectives import Mistake
from tests.series import PROMETHEUS, SERVER, TARGET, used

HERE = Path(__file__).resolve().parents[1]
RUNBOOK = (HERE.parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")
RULES_TEST = (HERE / "prometheus" / "rules_test.yaml").read_text(encoding="utf-8")
OBJECTIVES = objectives.load(HERE / "objectives.json")
RULES = [rule for group in rules.document(OBJECTIVES)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: {"namespace", "job"} for rule in RULES if "record" in rule}
DASHBOARD = dashboard.document(OBJECTIVES)


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """All queries of the dashboard with their panels' titles."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


class Names(unittest.TestCase):
    def assert_known(self, expression: str) -> None:
        series = SERVER | PROMETHEUS | RECORDED
        found = used(expression)
        self.assertTrue(found.metrics, expression)
        self.assertLessEqual(set(found.metrics), set(series), expression)
        own = TARGET | {"slo", "kind"}
        for metric, labels in found.metrics.items():
            self.assertLessEqual(labels, series[metric] | own, f"{metric} in {expression}")
        everything = set().union(*(series[metric] for metric in found.metrics), own)
        self.assertLessEqual(found.grouping, everything, expression)

    def test_rules_use_only_what_there_is(self) -> None:
        for rule in RULES:
            self.assert_known(rule["expr"])

    def test_rules_look_at_our_jobs_only_and_keep_namespaces_apart(self) -> None:
        ours = f'job=~"{OBJECTIVES.job}"'
        for rule in RULES:
            for selector in re.findall(r"(?<![\w:])\w+\{([^}]*)\}", rule["expr"]):
                self.assertTrue(selector.startswith(ours), rule["expr"])
            for labels in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
                self.assertTrue(labels.startswith("namespace, job"), rule["expr"])

    def test_the_dashboard_uses_only_what_there_is(self) -> None:
        for _, target in targets():
            self.assert_known(target["expr"])
        self.assert_known(DASHBOARD["annotations"]["list"][0]["expr"])
        for variable in DASHBOARD["templating"]["list"]:
            if variable["type"] == "query":
                self.assert_known(
                    re.sub(r"label_values\((.*), \w+\)", r"\1", variable["query"]["query"])
                )

    def test_the_runbook_uses_only_what_there_is(self) -> None:
        for block in re.findall(r"```promql\n(.*?)```", RUNBOOK, re.DOTALL):
            for line in block.splitlines():
                self.assert_known(line)

    def test_the_dashboard_shows_all_that_the_server_exports(self) -> None:
        shown = set().union(*(used(target["expr"]).metrics for _, target in targets()))
        # The same as the rate of the CPU time, but as of a moment.
        self.assertEqual({"process_cpu_utilization_ratio"}, {
            name for name in SERVER if name not in shown
            and not (name.endswith("_sum") and name.removesuffix("_sum") + "_count" in shown)
        })  # fmt: skip


class Alerts(unittest.TestCase):
    def test_each_has_a_runbook_entry_and_each_entry_an_alert(self) -> None:
        self.assertEqual(list(ALERTS), re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE))

    def test_each_says_how_urgent_it_is_and_what_to_do(self) -> None:
        for name, rule in ALERTS.items():
            entry = RUNBOOK.split(f"## {name}\n\n")[1]
            self.assertTrue(entry.lower().startswith(rule["labels"]["severity"]), name)
            self.assertEqual({"summary", "description", "runbook_url"}, set(rule["annotations"]))
            url = f"{OBJECTIVES.runbook}#{name.lower()}"
            self.assertEqual(url, rule["annotations"]["runbook_url"])

    def test_links_inside_the_runbook_lead_somewhere(self) -> None:
        anchors = {name.lower() for name in ALERTS}
        self.assertLessEqual(set(re.findall(r"\(#([^)]*)\)", RUNBOOK)), anchors)

    def test_each_alert_and_each_recorded_series_is_tested(self) -> None:
        for name in ALERTS:
            self.assertIn(name, RULES_TEST)
        # Long windows would take promtool minutes; they are looked at below.
        for name in RECORDED:
            if not re.search(r"(ratio|count)(30m|6h|\d+d)$", name):
                self.assertIn(name, RULES_TEST)


class Windows(unittest.TestCase):
    def test_a_series_is_named_after_its_window(self) -> None:
        for rule in RULES:
            name = re.search(r"slo_bad_requests:(?:ratio|count)(\w+)$", rule.get("record", ""))
            if name and name[1] != "5m":
                found = re.findall(r"\[(\w+)\]", rule["expr"])
                self.assertEqual({name[1]}, set(found), rule["record"])

    def test_bad_requests_are_counted_by_the_interval_of_evaluation(self) -> None:
        for group in rules.document(OBJECTIVES)["groups"]:
            for rule in group["rules"]:
                if re.search(r":count\w+$", rule.get("record", "")):
                    self.assertEqual(f"{rule['expr'].split(' * ')[0]}s", group["interval"])

    def test_alerts_look_at_the_windows_and_factors_of_the_objectives(self) -> None:
        for slo in OBJECTIVES.slos:
            for severity, speed in (("page", "Fast"), ("ticket", "Slow")):
                expression = ALERTS[f"Chat{slo.name.title()}{speed}Burn"]["expr"]
                found = re.findall(r":ratio(\w+)\{[^}]*\} > (\S+) \* (\S+)", expression)
                expected = [
                    (window, f"{rate.factor:g}", f"{slo.budget:g}")
                    for rate in OBJECTIVES.burn_rates
                    if rate.severity == severity
                    for window in (rate.long, rate.short)
                ]
                self.assertEqual(expected, found)


class Dashboard(unittest.TestCase):
    def test_panels_have_ids_of_their_own_and_do_not_overlap(self) -> None:
        panels = DASHBOARD["panels"]
        self.assertEqual(len(panels), len({panel["id"] for panel in panels}))
        places = [panel["gridPos"] for panel in panels]
        for place in places:
            self.assertTrue(place["x"] >= 0 and place["w"] > 0 and place["h"] > 0)
            self.assertLessEqual(place["x"] + place["w"], 24)
        for one, two in combinations(places, 2):
            beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
            above = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
            self.assertTrue(beside or above, f"{one} {two}")

    def test_the_first_row_is_the_seven_metrics(self) -> None:
        first = [panel["title"] for panel in DASHBOARD["panels"] if panel["gridPos"]["y"] == 0]
        self.assertEqual(
            ["Average response time", "Errors", "Connected clients", "Request rate", "CPU",
             "Availability", "Apdex"], first,
        )  # fmt: skip

    def test_every_query_goes_to_the_chosen_data_source(self) -> None:
        for title, target in targets():
            self.assertEqual("${datasource}", target["datasource"]["uid"], title)
            self.assertTrue(target["expr"] and target["legendFormat"], title)
            # What belongs to no replica cannot be narrowed to one.
            narrowed = "$instance" in target["expr"] or "job:slo" in target["expr"]
            self.assertTrue(narrowed and "$job" in target["expr"], title)

    def test_queries_of_a_panel_have_names_of_their_own(self) -> None:
        for panel in DASHBOARD["panels"]:
            names = [target["refId"] for target in panel.get("targets", [])]
            self.assertEqual(len(names), len(set(names)))


class Files(unittest.TestCase):
    def test_the_committed_ones_are_up_to_date(self) -> None:
        self.assertEqual({}, files.stale(HERE))

    def test_yaml_is_quoted_where_it_must_be(self) -> None:
        document = {"a": "plain", "b": "x: y", "c": "one\ntwo", "d": [{"e": 'say "so"', "f": "5m"}]}
        lines = ["# Head", "a: plain", 'b: "x: y"', "c: |-", "  one", "  two", "d:",
                 "  - e: |-", '      say "so"', "    f: 5m", ""]  # fmt: skip
        self.assertEqual("\n".join(lines), text.as_yaml(document, "Head"))

    def test_the_page_of_the_server_has_the_same_objectives(self) -> None:
        page = HERE.parents[1] / "src" / "api" / "pages" / "dashboard.js"
        slo = OBJECTIVES.slo("availability")
        script = page.read_text(encoding="utf-8")
        self.assertIn(f"\nconst OBJECTIVE = {slo.ratio};\n", script)
        self.assertIn(f"\nconst APDEX_GOAL = {OBJECTIVES.apdex_goal};\n", script)

    def test_the_server_has_the_same_bounds(self) -> None:
        source = HERE.parents[1] / "src" / "telemetry" / "instruments.rs"
        code = source.read_text(encoding="utf-8").replace("_", "")
        lists = re.findall(r"const (PREFERRED|DIVISORS|OTHERS): .* =\s*\[(.*)\];", code)
        found = {name: [float(number) for number in numbers.split(",")] for name, numbers in lists}
        bounds = [bound / by for by in found["DIVISORS"] for bound in found["PREFERRED"]]
        self.assertEqual([*bounds, *found["OTHERS"]], list(objectives.BUCKETS_SECONDS))

    def test_k6_gets_the_objectives_in_its_units(self) -> None:
        other = dataclasses.replace(OBJECTIVES, latency_seconds=0.25, apdex_t_seconds=0.025)
        made = thresholds.document(other)
        self.assertEqual(
            ["p(99)<=250"], made["thresholds"]["http_req_duration{expected_response:true}"]
        )
        self.assertEqual(["rate<=0.001"], made["thresholds"]["http_req_failed"])
        self.assertEqual({"satisfied_ms": 25, "tolerating_ms": 100}, made["apdex"])


class Objectives(unittest.TestCase):
    def load(self, **changes: Any) -> objectives.Objectives:
        file = json.loads((HERE / "objectives.json").read_text(encoding="utf-8"))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "objectives.json"
            path.write_text(json.dumps(file | changes), encoding="utf-8")
            return objectives.load(path)

    def test_times_between_two_buckets_are_refused(self) -> None:
        latency = {"ratio": 0.99, "seconds": 0.3}
        with self.assertRaisesRegex(Mistake, "not a bucket"):
            self.load(latency=latency)
        # The server has T and 4 T, whatever T is.
        self.load(latency=latency, apdex={"goal": 0.9, "t_seconds": 0.3, "requests_min": 1})

    def test_what_cannot_be_is_refused(self) -> None:
        page = {"factor": 14.4, "long": "1h", "short": "5m"}
        wrong: list[dict[str, Any]] = [
            {"availability": {"ratio": 99.9}},
            {"availability": {}},
            {"burn_rates": {"bad_requests_min": 1, "page": [page | {"long": "5m"}], "ticket": []}},
            {"burn_rates": {"bad_requests_min": 1, "page": [page | {"long": "1w"}], "ticket": []}},
            {"burn_rates": {"bad_requests_min": 1, "page": [page | {"factor": 1e6}], "ticket": []}},
        ]
        for changes in wrong:
            with self.assertRaises(Mistake, msg=str(changes)):
                self.load(**changes)


if __name__ == "__main__":
    unittest.main()
