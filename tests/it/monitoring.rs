//! What rules, dashboard and runbook use is there: metrics and labels as docs/observability.md has
//! them, which `documented` compares with the server; alerts, entries, links and panels.

use crate::{
    documented::{names, table},
    tidy::text,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

static RULES: LazyLock<String> =
    LazyLock::new(|| text("deploy/observability/prometheus/rules.yaml"));
static RULES_TEST: LazyLock<String> =
    LazyLock::new(|| text("deploy/observability/prometheus/rules_test.yaml"));
static GRAFANA: LazyLock<String> =
    LazyLock::new(|| text("deploy/observability/grafana/chat-server.json"));
static RUNBOOK: LazyLock<String> = LazyLock::new(|| text("docs/runbook.md"));

/// The first is the rate of the processor time, measured in another way; the others are each for
/// one question of an operator.
const NOT_ON_THE_DASHBOARD: [&str; 4] = [
    "process_cpu_utilization_ratio",
    "chat_log_lines_dropped_total",
    "chat_server_connections_unanswered_total",
    "chat_trace_skipped_total",
];

/// What the query language, Prometheus and the rules add to the metrics and labels of the server.
const WORDS: [&str; 15] = [
    "absent",
    "and",
    "avg_over_time",
    "by",
    "clamp_min",
    "histogram_quantile",
    "ignoring",
    "increase",
    "max",
    "or",
    "rate",
    "sum",
    "sum_over_time",
    "ALERTS",
    "label_values",
];
const LABELS: [&str; 10] = [
    "namespace",
    "job",
    "instance",
    "slo",
    "kind",
    "le",
    "alertname",
    "alertstate",
    "service_version",
    "service_name",
];

type Labels = BTreeSet<String>;

/// The metrics of the server with their labels. A histogram is three.
fn metrics() -> BTreeMap<String, Labels> {
    let mut all =
        BTreeMap::from(["up", "target_info"].map(|name| (name.to_owned(), Labels::new())));
    for row in table("Metrics") {
        let histogram = row[2].starts_with("histogram");
        let parts: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        for name in names(&row[1]) {
            all.extend(parts.iter().map(|part| (format!("{name}{part}"), names(&row[3]))));
        }
    }
    all
}

/// The rules in order: what kind, its name, and its expression.
fn rules() -> Vec<(&'static str, &'static str, &'static str)> {
    let entries = RULES.split("\n      - ").skip(1).filter(|entry| !entry.starts_with("name:"));
    let entries = entries.map(|entry| {
        let (kind, rest) = entry.split_once(": ").unwrap();
        let (name, rest) = rest.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("expr: ").unwrap();
        let ends = ["\n        for: ", "\n        labels: ", "\n      #", "\n\n"];
        let end = ends.iter().filter_map(|it| rest.find(it)).min().unwrap_or(rest.len());
        (kind, name, rest[..end].trim_start_matches("|-").trim())
    });
    entries.collect()
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':');
    words.filter(|word| word.starts_with(|it: char| it.is_ascii_alphabetic()))
}

/// Each name of an expression; a metric with the labels that select from it.
fn parsed(expression: &str) -> Vec<(String, Vec<String>)> {
    let without_strings: Vec<_> = expression.split('"').step_by(2).collect();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (number, part) in without_strings.join("").split('{').enumerate() {
        let mut outside = part;
        if number > 0 {
            let (inside, rest) = part.split_once('}').unwrap();
            found.last_mut().unwrap().1 = identifiers(inside).map(str::to_owned).collect();
            outside = rest;
        }
        found.extend(identifiers(outside).map(|name| (name.to_owned(), Vec::new())));
    }
    found
}

fn assert_known(expression: &str) {
    let metrics = metrics();
    let labels: Labels = metrics.values().flatten().cloned().collect();
    let recorded = rules().into_iter().map(|(_, name, _)| name);
    let known: Vec<_> = recorded.chain(WORDS).chain(LABELS).collect();
    for (name, selectors) in parsed(expression) {
        let is_known = metrics.contains_key(&name) || labels.contains(&name);
        assert!(is_known || known.contains(&name.as_str()), "{name} in {expression}");
        for label in selectors.iter().filter(|label| !LABELS.contains(&label.as_str())) {
            assert!(metrics[&name].contains(label), "{name} has no {label}: {expression}");
        }
    }
}

fn queries() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&GRAFANA).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn all_metrics_and_labels_that_are_used_exist() {
    for (_, _, expression) in rules() {
        assert_known(expression);
    }
    for query in queries() {
        assert_known(query["expr"].as_str().unwrap());
    }
    let dashboard: Value = serde_json::from_str(&GRAFANA).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter_map(|variable| variable["query"]["query"].as_str());
    variables.chain(dashboard["annotations"]["list"][0]["expr"].as_str()).for_each(assert_known);
    for block in RUNBOOK.split("```promql\n").skip(1) {
        let lines = block.lines().take_while(|line| *line != "```");
        lines.for_each(|line| assert_known(line.split(" #").next().unwrap()));
    }
}

#[test]
fn rules_are_about_this_service_and_keep_namespaces_apart() {
    let metrics = metrics();
    for (_, name, expression) in rules() {
        for (metric, labels) in parsed(expression) {
            let is_ours = labels.first().is_some_and(|label| label == "job");
            assert!(is_ours || !metrics.contains_key(&metric), "{metric} in {name}");
        }
        let groups = expression.matches("by (").count();
        assert_eq!(groups, expression.matches("by (namespace, job").count(), "{name}");
        let window = name
            .split_once("slo_bad_requests:")
            .map(|(_, it)| it.trim_start_matches(char::is_alphabetic));
        let windows = expression.split('[').skip(1).map(|it| it.split_once(']').unwrap().0);
        for found in windows.filter(|_| window.is_some()) {
            assert_eq!(window, Some(found), "{name}");
        }
    }
}

#[test]
fn each_alert_has_its_entry_in_the_runbook_and_each_rule_its_test() {
    let alerts: Vec<_> = rules().into_iter().filter(|(kind, _, _)| *kind == "alert").collect();
    let entries: Vec<_> = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(alerts.iter().map(|(_, name, _)| *name).collect::<Vec<_>>(), entries);
    for (_, name, _) in &alerts {
        let (_, rule) = RULES.split_once(&format!("- alert: {name}\n")).unwrap();
        let rule = rule.split("- alert: ").next().unwrap();
        let (_, severity) = rule.split_once("severity: ").unwrap();
        let severity = severity.split('}').next().unwrap();
        let (_, entry) = RUNBOOK.split_once(&format!("\n## {name}\n\n")).unwrap();
        assert!(entry.to_lowercase().starts_with(severity), "{name} is a {severity}");
        assert!(rule.contains("summary: ") && rule.contains("description: "), "{name}");
        let link = format!("/blob/main/docs/runbook.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&link), "{name} does not link to its entry");
    }
    for link in RUNBOOK.split("](#").skip(1).map(|it| it.split(')').next().unwrap()) {
        assert!(entries.iter().any(|entry| entry.to_lowercase() == link), "#{link}");
    }
    // Long windows would take promtool minutes; their names and windows are compared above.
    let is_long = |name: &str| ["30m", "6h", "1d", "3d", "30d"].iter().any(|it| name.ends_with(it));
    for (_, name, _) in rules().iter().filter(|(_, name, _)| !is_long(name)) {
        assert!(RULES_TEST.contains(name), "{name} is not tested");
    }
}

#[test]
fn the_dashboard_begins_with_the_seven_metrics_and_shows_all_others() {
    let dashboard: Value = serde_json::from_str(&GRAFANA).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let first = panels.iter().take_while(|panel| panel["gridPos"]["y"] == 0);
    let first: Vec<_> = first.map(|panel| panel["title"].as_str().unwrap()).collect();
    let seven =
        "Average response time, Errors, Connected clients, Request rate, CPU, Availability, Apdex";
    assert_eq!(first.join(", "), seven);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());

    let mut shown: Labels = NOT_ON_THE_DASHBOARD.map(str::to_owned).into();
    for query in queries() {
        let expression = query["expr"].as_str().unwrap();
        assert_eq!(query["datasource"]["uid"], "${datasource}", "{expression}");
        // What is recorded is of no replica.
        let one_replica = expression.contains("$instance") || expression.contains("job:slo");
        assert!(expression.contains("job=~\"$job\"") && one_replica, "{expression}");
        shown.extend(parsed(expression).into_iter().map(|(name, _)| name));
    }
    for metric in metrics().keys().filter(|name| !name.ends_with("_sum") && *name != "up") {
        let whole = metric.trim_end_matches("_bucket").trim_end_matches("_count");
        let parts = ["", "_bucket", "_count"].map(|part| format!("{whole}{part}"));
        assert!(parts.iter().any(|part| shown.contains(part)), "{metric} is not shown");
    }
}
