//! Adds the ids of the current span to a log line.

use opentelemetry::{Context, trace::TraceContextExt};
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Adds `trace_id` and `span_id` to the output of a format; `span_id` only if the trace is sampled,
/// because otherwise that span is not exported.
#[derive(Debug)]
pub struct WithIds<F> {
    pub format: F,
    /// Whether the line is a JSON object, otherwise text.
    pub json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // The tracing layer keeps OpenTelemetry's context in sync with the current span.
        let ids = Context::map_current(|context| context.span().span_context().clone());
        if !ids.is_valid() {
            return self.format.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        let trace = ids.trace_id();
        let span = ids.is_sampled().then(|| ids.span_id());
        if self.json {
            let fields = line.strip_suffix('}').unwrap_or(line);
            write!(writer, "{fields},\"trace_id\":\"{trace}\"")?;
            span.map_or(Ok(()), |span| write!(writer, ",\"span_id\":\"{span}\""))?;
            writeln!(writer, "}}")
        } else {
            write!(writer, "{line} trace_id={trace}")?;
            span.map_or(Ok(()), |span| write!(writer, " span_id={span}"))?;
            writeln!(writer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::fmt::format;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(json: bool, flags: Option<TraceFlags>) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        let context = flags.map_or_else(Context::new, |flags| {
            let (trace, span) = (TraceId::from(10), SpanId::from(11));
            let ids = SpanContext::new(trace, span, flags, true, TraceState::NONE);
            Context::new().with_remote_span_context(ids)
        });
        let _context = context.attach();
        let log = || tracing::info!(code = "x", "Hi");
        if json {
            let format = format().json().flatten_event(true).without_time().with_target(false);
            let lines = lines.json().event_format(WithIds { format, json });
            tracing::subscriber::with_default(lines.finish(), log);
        } else {
            let format = format().compact().without_time().with_target(false);
            let lines = lines.event_format(WithIds { format, json });
            tracing::subscriber::with_default(lines.finish(), log);
        }
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_the_ids_of_its_span_and_only_what_was_sampled_has_a_span_s() {
        const TRACE: &str = "0000000000000000000000000000000a";
        const SPAN: &str = "000000000000000b";
        let (sampled, not) = (Some(TraceFlags::SAMPLED), Some(TraceFlags::NOT_SAMPLED));
        let json =
            |ids: &str| format!("{{\"level\":\"INFO\",\"message\":\"Hi\",\"code\":\"x\"{ids}}}\n");
        assert_eq!(written(true, None), json(""));
        assert_eq!(written(true, not), json(&format!(",\"trace_id\":\"{TRACE}\"")));
        let both = format!(",\"trace_id\":\"{TRACE}\",\"span_id\":\"{SPAN}\"");
        assert_eq!(written(true, sampled), json(&both));
        assert_eq!(written(false, None), " INFO Hi code=\"x\"\n");
        assert_eq!(written(false, not), format!(" INFO Hi code=\"x\" trace_id={TRACE}\n"));
        let both = format!(" INFO Hi code=\"x\" trace_id={TRACE} span_id={SPAN}\n");
        assert_eq!(written(false, sampled), both);
    }
}
