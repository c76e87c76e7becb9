//! Log lines as JSON. A refusal writes one at the level that is usual, so that a line must not cost more than the refusal.
//!
//! The form is that of `tracing_subscriber`'s own flattened JSON: `timestamp`, `level`, the fields, `target`.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::telemetry::json;
use crate::telemetry::timestamp::Rfc3339;

/// Writes events.
#[derive(Debug)]
pub(super) struct JsonLines {
    /// For what libraries say through `log`, whose level and target stand elsewhere.
    foreign: Format<Json>,
}

thread_local! {
    /// The text of a line, whose memory is used for the next one.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// A line that was unusually long does not keep its memory for ever.
const KEPT: usize = 16 << 10;

impl JsonLines {
    pub(super) fn new() -> Self {
        let foreign = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
        Self { foreign }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        if about.target() == "log" {
            return self.foreign.format_event(context, writer, event);
        }
        let mut line = LINE.take();
        line.push_str("{\"timestamp\":\"");
        Rfc3339(clock::now()).append_to(&mut line);
        line.push_str("\",\"level\":\"");
        line.push_str(about.level().as_str());
        line.push('"');
        event.record(&mut Members(&mut line));
        line.push_str(",\"target\":");
        json::text(&mut line, about.target());
        line.push_str("}\n");
        let written = writer.write_str(&line);
        line.clear();
        line.shrink_to(KEPT);
        LINE.set(line);
        written
    }
}

/// The fields of an event, as members of the line.
struct Members<'l>(&'l mut String);

impl Members<'_> {
    fn name(&mut self, field: &Field) -> &mut String {
        self.0.push(',');
        json::text(self.0, field.name());
        self.0.push(':');
        self.0
    }

    fn formatted(&mut self, field: &Field, value: &dyn fmt::Display) {
        let line = self.name(field);
        line.push('"');
        // What cannot be written ends where it stands; the line stays whole.
        let _written = write!(json::Escaped(line), "{value}");
        line.push('"');
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        json::text(self.name(field), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        json::number(self.name(field), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        json::signed(self.name(field), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field).push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number.
        let text = serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |number| number.to_string());
        self.name(field).push_str(&text);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.formatted(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.formatted(field, &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn lines(&self) -> Vec<serde_json::Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    #[test]
    fn a_line_is_what_tracings_own_json_would_be() {
        let (ours, theirs) = (Kept::default(), Kept::default());
        let (write_ours, write_theirs) = (ours.clone(), theirs.clone());
        let own = layer().with_ansi(false).json().flatten_event(true).with_current_span(false).with_span_list(false);
        let subscriber = tracing_subscriber::registry()
            .with(
                layer()
                    .fmt_fields(JsonFields::new())
                    .event_format(JsonLines::new())
                    .with_writer(move || write_ours.clone()),
            )
            .with(own.with_writer(move || write_theirs.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let error: &(dyn Error + 'static) = &io::Error::other("a \"quote\"\n");
            let peer = std::net::IpAddr::from([127, 0, 0, 1]);
            let (some, none) = (Some("all"), None::<&str>);
            tracing::info!(reason = "é\"\\\u{1}", some, none, %peer, ?some, yes = true, "denied \"{}\"", "x");
            tracing::error!(error, many = u64::MAX, few = i64::MIN, part = 0.5, no = f64::NAN, "it broke");
            tracing::debug!(r#type = 7_u8, long = "x".repeat(KEPT));
        });
        let (ours, theirs) = (ours.lines(), theirs.lines());
        assert_eq!(ours.len(), 3);
        for (mut our, mut their) in ours.into_iter().zip(theirs) {
            let told = |line: &mut serde_json::Value| line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let (our_time, their_time) = (told(&mut our), told(&mut their));
            assert_eq!(our, their);
            // Written one after the other, so that at most the seconds differ, and what follows from them.
            let form = |time: &serde_json::Value| {
                time.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>()
            };
            assert_eq!(
                (form(&our_time), &*form(&their_time)),
                ("0000-00-00T00:00:00.000000Z".to_owned(), "0000-00-00T00:00:00.000000Z")
            );
        }
    }
}
