//! deploy/observability/objectives.json says what the service must reach. Rules, dashboards and
//! load tests repeat its numbers; here they are compared.

use crate::{harness::TestDatabase, process::Process, tidy::text};
use serde_json::{Value, json};
use std::sync::LazyLock;

static RULES: LazyLock<String> =
    LazyLock::new(|| text("deploy/observability/prometheus/rules.yaml"));
static GRAFANA: LazyLock<String> =
    LazyLock::new(|| text("deploy/observability/grafana/chat-server.json"));
static PAGE: LazyLock<String> = LazyLock::new(|| text("src/api/pages/dashboard.js"));

fn objectives() -> Value {
    serde_json::from_str(&text("deploy/observability/objectives.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// The share of bad requests that an objective allows. Rounded, because 1 - 0.999 is not 0.001.
fn budget(objective: &Value) -> f64 {
    ((1.0 - number(&objective["ratio"])) * 1e9).round() / 1e9
}

/// Formatting may change: spaces do not count.
fn has(text: &str, part: &str) {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    assert!(plain(text).contains(&plain(part)), "not found: {part}");
}

#[test]
fn of_each_kind_are_in_the_rules_and_on_both_dashboards() {
    let all = objectives();
    let (goal, t) = (&all["apdex"]["goal"], number(&all["apdex"]["t_seconds"]));
    let (latency, ratio) = (number(&all["latency"]["seconds"]), &all["availability"]["ratio"]);
    has(&RULES, &format!("job:http_apdex:ratio5m < {goal} and"));
    has(&RULES, &format!("300 * job:http_requests:rate5m >= {}", all["apdex"]["requests_min"]));
    has(&RULES, &format!("Its goal is {goal} with T = {t} s"));
    has(&RULES, &format!("le=\"{t}\",http_response_status_code!~\"5..|\""));
    has(&RULES, &format!("le=~\"{}([.]0)?\",http_response_status_code!~\"5..|\"", 4.0 * t));
    has(&RULES, &format!("le=\"{latency}\",http_response_status_code!~\"5..|408\""));
    has(&RULES, &format!("took longer than {latency} s"));
    let job = format!("job=~{}", all["job"]);
    assert_eq!(RULES.matches("job=~").count(), RULES.matches(&job).count(), "all with {job}");

    has(&GRAFANA, &format!("{{ \"color\": \"green\", \"value\": {ratio} }}"));
    has(&GRAFANA, &format!("{{ \"color\": \"green\", \"value\": {goal} }}"));
    has(&GRAFANA, &format!("{{ \"color\": \"red\", \"value\": {t} }}"));
    has(&GRAFANA, &format!("Goal: {:.2}%.", 100.0 * number(ratio)));
    has(&GRAFANA, &format!("within {t} s over the last 5m. Goal: {goal}."));
    has(&GRAFANA, &format!("le=\\\"{t}\\\""));
    has(&GRAFANA, &format!("le=~\\\"{}([.]0)?\\\"", 4.0 * t));
    let slow = format!("minDuration%22%3A%22{}ms", 1000.0 * latency);
    assert_eq!(GRAFANA.matches("minDuration").count(), GRAFANA.matches(&slow).count(), "{slow}");

    has(&PAGE, &format!("const OBJECTIVE = {ratio};"));
    has(&PAGE, &format!("const APDEX_GOAL = {goal};"));
}

#[test]
fn for_error_budgets_are_in_the_rules_and_on_the_grafana_dashboard() {
    let all = objectives();
    let (rates, days) = (&all["burn_rates"], &all["period_days"]);
    for slo in ["availability", "latency"] {
        let budget = budget(&all[slo]);
        let name = slo[..1].to_uppercase() + &slo[1..];
        for (severity, speed) in [("page", "Fast"), ("ticket", "Slow")] {
            let windows = rates[severity].as_array().unwrap().iter().map(|rate| {
                let [long, short] = ["long", "short"].map(|window| rate[window].as_str().unwrap());
                let above = format!("{{slo=\"{slo}\"}} > {} * {budget}", rate["factor"]);
                let enough = format!("{{slo=\"{slo}\"}} >= {}", rates["bad_requests_min"]);
                let [ratio, count] =
                    ["ratio", "count"].map(|it| format!("job:slo_bad_requests:{it}"));
                format!(
                    "({ratio}{long}{above} and {ratio}{short}{above} and {count}{long}{enough})"
                )
            });
            let expression = windows.collect::<Vec<_>>().join("or");
            let labels = format!("labels: {{severity: {severity}}}");
            has(&RULES, &format!("- alert: Chat{name}{speed}Burn expr: |- {expression} {labels}"));
        }
        let percent = 100.0 * budget;
        has(&RULES, &format!("what the budget of {percent} % in {days} days allows"));
        has(&RULES, &format!("1 - job:slo_bad_requests:ratio{days}d{{slo=\"{slo}\"}} / {budget}"));
        has(&GRAFANA, &format!("Of {percent:.3}% bad requests in {days} days."));
        for window in ["5m", "1h", "6h"] {
            let ratio = format!("job:slo_bad_requests:ratio{window}");
            let of = "{namespace=~\\\"$namespace\\\",job=~\\\"$job\\\",slo=\\\"";
            has(&GRAFANA, &format!("{ratio}{of}{slo}\\\"}} / {budget}\""));
        }
    }
}

#[test]
fn are_the_thresholds_of_the_load_tests() {
    let all = objectives();
    let [t_ms, latency_ms] =
        [&all["apdex"]["t_seconds"], &all["latency"]["seconds"]].map(|it| 1000.0 * number(it));
    let expected = json!({
        "apdex": { "satisfied_ms": t_ms, "tolerating_ms": 4.0 * t_ms },
        "thresholds": {
            "http_req_failed": [format!("rate<={}", budget(&all["availability"]))],
            "http_req_duration{expected_response:true}":
                [format!("p({})<={latency_ms}", 100.0 * number(&all["latency"]["ratio"]))],
            "apdex": [format!("avg>={}", all["apdex"]["goal"])],
        },
    });
    let thresholds = text("k6/lib/thresholds.json");
    let mut thresholds: Value = serde_json::from_str(&thresholds).unwrap();
    for milliseconds in thresholds["apdex"].as_object_mut().unwrap().values_mut() {
        *milliseconds = json!(number(milliseconds));
    }
    assert_eq!(thresholds, expected);
}

#[tokio::test]
async fn have_their_bounds_in_the_histogram_of_the_server() {
    let all = objectives();
    let database = TestDatabase::new();
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    server.wait_until_ready().await;
    server.text("/messages").await;
    let metrics = server.text("/metrics").await;
    let t = number(&all["apdex"]["t_seconds"]);
    for bound in [t, 4.0 * t, number(&all["latency"]["seconds"])] {
        assert!(metrics.contains(&format!("le=\"{bound}\"")), "{bound}");
    }
}
