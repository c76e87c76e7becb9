//! What every page has around it, and how moments and names are written on it.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::telemetry::timestamp::Rfc3339;
use crate::token::Timestamp;

/// The one thing that a page loads.
pub(super) const STYLE: &str = include_str!("page.css");

/// Its own style is all that a page may load.
const SECURITY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer of the listener carries: it is not to be kept, guessed at, framed, nor loaded into a page of others or held
/// by one that opened it.
pub(in crate::admin) const CARRIED_BY_ALL: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// A whole page. Its title is what a row of tabs shows.
pub(super) fn sheet(title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Stepgate: " (title) }
                link rel="stylesheet" href="page.css";
            }
            body { (body) }
        }
    };
    let fields = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, SECURITY)];
    (fields, page.into_string()).into_response()
}

/// A moment, to the second: whole in what programs read.
pub(super) fn moment(at: Rfc3339) -> Markup {
    let whole = at.to_string();
    let (day, time) = whole.split_once('T').unwrap_or((&whole, ""));
    let second = time.split_once('.').map_or(time, |(second, _fraction)| second);
    html! { time datetime=(whole) { (day) " " (second) " UTC" } }
}

/// How long that is, in its two largest units.
pub(super) fn lasting(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// When something ends, and how long that is from now.
pub(super) fn until(end: Rfc3339, now: Timestamp) -> Markup {
    let left = u64::try_from(end.0.seconds().saturating_sub(now.seconds())).unwrap_or_default();
    html! { "for " strong { (lasting(left)) } " yet, until " (moment(end)) }
}

/// So many of a thing.
pub(super) fn count(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

/// As many as can be read at a glance.
pub(super) const MOST: usize = 20;

/// Names, as many as can be read at a glance.
pub(super) fn names<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Markup {
    let more = names.len().saturating_sub(MOST);
    html! {
        @for name in names.take(MOST) { code { (name) } " " }
        @if more > 0 { "and " (more) " more" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_lengths_are_written_for_people_and_whole_for_programs() {
        let at = Rfc3339(Timestamp::from_micros(1_767_268_800_123_456));
        assert_eq!(
            moment(at).into_string(),
            r#"<time datetime="2026-01-01T12:00:00.123456Z">2026-01-01 12:00:00 UTC</time>"#
        );
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (3_600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d 0 h"),
            (604_800, "7 d 0 h"),
        ] {
            assert_eq!(lasting(seconds), text);
        }
        let ends = |now| until(at, Timestamp::from_seconds(now)).into_string();
        assert!(
            ends(1_767_268_790).starts_with("for <strong>10 s</strong> yet, until <time "),
            "{}",
            ends(1_767_268_790)
        );
        assert!(ends(1_767_268_900).starts_with("for <strong>0 s</strong> yet"), "never a wrapped number");
    }

    #[test]
    fn of_very_many_names_the_number_is_told() {
        let all = vec!["<n>"; 25];
        let text = names(all.iter().copied()).into_string();
        assert_eq!(text.matches("<code>&lt;n&gt;</code>").count(), 20);
        assert!(text.ends_with("and 5 more"), "{text}");
        assert_eq!(names(["a"].into_iter()).into_string(), "<code>a</code> ");
    }

    #[test]
    fn the_style_loads_nothing() {
        for outside in ["url(", "@import", "image-set", "src(", "<"] {
            assert!(!STYLE.contains(outside), "{outside}");
        }
        assert!(STYLE.contains("prefers-color-scheme: dark"));
    }
}
