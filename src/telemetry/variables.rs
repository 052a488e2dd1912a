//! Reads the `OTEL_*` variables, and warns of values that the SDK would ignore, mostly silently.

use std::env;

/// The valid values of a variable.
enum Rule {
    /// A whole number of at least the first value; the second is an example.
    From(u32, &'static str),
    /// A number from 0 to 1.
    Share,
    /// `KEY=VALUE`, several with commas. The name of a key must begin with a letter.
    Attributes,
    /// The same, but the values may be secrets.
    Headers,
    OneOf(&'static [&'static str]),
}

const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

const COMPRESSIONS: &[&str] = &["gzip", "none"];

const RULES: [(&str, Rule); 25] = [
    ("OTEL_SDK_DISABLED", Rule::OneOf(&["true", "false"])),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", Rule::From(1, "10000")),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", Rule::From(1, "10000")),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", Rule::From(1, "10000")),
    ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", Rule::From(1, "10000")),
    ("OTEL_EXPORTER_OTLP_HEADERS", Rule::Headers),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", Rule::Headers),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", Rule::Headers),
    ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", Rule::Headers),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", Rule::OneOf(COMPRESSIONS)),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", Rule::OneOf(COMPRESSIONS)),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", Rule::OneOf(COMPRESSIONS)),
    ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", Rule::OneOf(COMPRESSIONS)),
    ("OTEL_RESOURCE_ATTRIBUTES", Rule::Attributes),
    ("OTEL_BSP_MAX_QUEUE_SIZE", Rule::From(1, "2048")),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", Rule::From(1, "512")),
    ("OTEL_BSP_SCHEDULE_DELAY", Rule::From(0, "5000")),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", Rule::From(1, "2048")),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", Rule::From(1, "512")),
    ("OTEL_BLRP_SCHEDULE_DELAY", Rule::From(0, "1000")),
    ("OTEL_METRIC_EXPORT_INTERVAL", Rule::From(1, "60000")),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", Rule::From(0, "128")),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", Rule::From(0, "128")),
    ("OTEL_TRACES_SAMPLER", Rule::OneOf(SAMPLERS)),
    ("OTEL_TRACES_SAMPLER_ARG", Rule::Share),
];

impl Rule {
    fn allows(&self, value: &str) -> bool {
        let pairs = |is_key: fn(&str) -> bool| {
            value
                .split_terminator(',')
                .all(|pair| pair.split_once('=').is_some_and(|(key, _)| is_key(key.trim())))
        };
        match self {
            Self::From(least, _) => value.parse::<u32>().is_ok_and(|number| number >= *least),
            Self::Share => value.parse().is_ok_and(|share| (0.0..=1.0).contains(&share)),
            Self::Attributes => pairs(is_name),
            Self::Headers => pairs(|key| !key.is_empty()),
            Self::OneOf(values) => values.iter().any(|known| value.eq_ignore_ascii_case(known)),
        }
    }

    fn right(&self) -> String {
        match self {
            Self::From(least, example) => {
                format!("a whole number of at least {least}, such as {example}")
            }
            Self::Share => "a number from 0 to 1, such as 0.01".into(),
            Self::Attributes => "KEY=VALUE,KEY=VALUE with keys that begin with a letter".into(),
            Self::Headers => "KEY=VALUE,KEY=VALUE".into(),
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
        }
    }
}

/// Reads a variable. An empty one counts as not set.
#[expect(clippy::disallowed_methods, reason = "these are OpenTelemetry's settings, not ours")]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the name and the value of the variable for one signal, or else of that for all.
pub fn setting(signal: &str, name: &str) -> Option<(String, String)> {
    let names =
        [format!("OTEL_EXPORTER_OTLP_{signal}_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
    names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
}

/// Whether an attribute can be a label of `target_info`. With an invalid label, Prometheus would
/// reject all of `/metrics`.
pub fn is_name(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Warns of each value that has no effect or an unintended one.
pub fn warn_of_unusable_values() {
    for (name, rule) in RULES {
        let Some(value) = variable(name).filter(|value| !rule.allows(value)) else { continue };
        let value = match rule {
            Rule::Headers => "its value, which may contain a secret,".to_owned(),
            _ => format!("{value:?}"),
        };
        tracing::warn!("{name}: {value} is not {}; it may be ignored", rule.right());
    }
    for (name, value) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OTEL_") && value.to_str().is_none() {
            tracing::warn!("{name}: its value is not UTF-8 and is ignored");
        }
    }
}
