//! `/`: who is let in by exception, whether requests can be served, by which policy, and what is in trouble.

use axum::response::Response;
use maud::{Markup, html};

use crate::admin::page::sheet::{count, lasting, moment, names, sheet, until};
use crate::admin::readiness::{AddressReport, ExceptionReport, FilesReport, IssuerReport, ReloadReport, Report};
use crate::telemetry::timestamp::Rfc3339;
use crate::token::Timestamp;

/// The page. `can_look`: whether there is a credential by which routes are shown.
pub(super) fn page(report: &Report, can_look: bool) -> Response {
    let exceptions = report.reload.as_ref().map_or(&[][..], |reload| &reload.in_force.exceptions);
    let state = if report.ready { "ready" } else { "not ready" };
    let title = match exceptions.len() {
        0 => state.to_owned(),
        number => format!("{state}, {}", count(number, "exception")),
    };
    let body = html! {
        header {
            h1 { "Stepgate" }
            p.dim { "version " (env!("CARGO_PKG_VERSION")) ", as of " (moment(Rfc3339(report.at))) }
        }
        main {
            (excepted(exceptions, report.at))
            (readiness(report))
            @if let Some(reload) = &report.reload { (policy(reload, can_look)) }
            (issuers(&report.issuers))
            @if let Some(places) = &report.upstreams { (upstreams(places)) }
            @if let Some(reload) = &report.reload { (files(&reload.tls)) }
        }
    };
    sheet(&title, &body)
}

fn excepted(exceptions: &[ExceptionReport], now: Timestamp) -> Markup {
    if exceptions.is_empty() {
        return html! { p { "No exception holds now." } };
    }
    html! {
        section.loud {
            h2 { (count(exceptions.len(), "exception")) @if exceptions.len() == 1 { " holds" } @else { " hold" } " now" }
            @for one in exceptions {
                h3 { (one.name) }
                p { "It holds " (until(one.until, now)) }
                p { "Routes: " (names(one.routes.iter().map(|name| &**name))) }
                // Isolated, so that no mark in it turns what stands around it.
                p { "Because: " bdi { (one.because) } }
            }
            p.dim { "For whom they are is in the policy." }
        }
    }
}

fn readiness(report: &Report) -> Markup {
    html! {
        section {
            @if report.ready {
                h2.good { "Ready" }
                p { "Requests can be served." }
            } @else {
                h2.bad { "Not ready" }
                ul {
                    @if report.draining { li { "It is about to end: requests under way may finish." } }
                    @if report.audit_blocks {
                        li { "The audit log cannot be written, so requests are refused." }
                    }
                    @for issuer in report.issuers.iter().filter(|issuer| !issuer.ready) {
                        li { "Requests with tokens of " code { (issuer.name) } " are refused: none of its keys are held." }
                    }
                }
            }
        }
    }
}

fn policy(reload: &ReloadReport, can_look: bool) -> Markup {
    html! {
        section {
            h2 { "Policy" }
            p { "In force since " (moment(reload.in_force.since)) ": " code { (reload.in_force.policy) } }
            @match &reload.refused {
                None if reload.current => p { span.good { "Current:" } " the newest content of its folder is in force." },
                None => p { span.bad { "Not current:" } " the newest content of its folder is not in force." },
                Some(refused) => {
                    p {
                        span.bad { "Not current:" } " the newest content of its folder was refused at "
                        (moment(refused.at)) ", and changes nothing until it is mended."
                    }
                    (diagnostics(&refused.diagnostics))
                }
            }
            @if can_look {
                p { a href="routes" { "What each route asks" } " (asks for the credential)" }
            } @else {
                p {
                    "What each route asks is shown to whoever shows the credential, and there is none: "
                    code { "admin.credential" } " in stepgate.yaml."
                }
            }
        }
    }
}

fn diagnostics(text: &str) -> Markup {
    const MOST: usize = 300;
    const LONGEST: usize = 500;
    // Up to where a line is shown, where that is not its end.
    let cut = |line: &str| line.char_indices().nth(LONGEST).map(|(end, _)| end);
    let any_cut = text.lines().take(MOST).any(|line| cut(line).is_some());
    let more = text.lines().count().saturating_sub(MOST);
    html! {
        pre tabindex="0" {
            @for line in text.lines().take(MOST) {
                @match cut(line).and_then(|end| line.get(..end)) {
                    None => (line),
                    Some(beginning) => { (beginning) "…" }
                }
                "\n"
            }
        }
        @if any_cut { p { "Of long lines the first " (LONGEST) " characters are shown." } }
        @if more > 0 {
            p { (count(more, "more line")) ": " code { "stepgate check" } ", or " a href="readyz?verbose" { "all of it" } "." }
        }
    }
}

fn issuers(issuers: &[IssuerReport]) -> Markup {
    html! {
        section {
            h2 { "Issuers" }
            @if issuers.is_empty() { p { "The policy has none." } }
            @for issuer in issuers {
                h3 { (issuer.name) }
                p {
                    span.(if !issuer.ready { "bad" } else if issuer.error.is_some() { "warn" } else { "good" }) {
                        (issuer.state)
                    }
                    ": " (count(issuer.keys, "key"))
                    @if let Some(at) = issuer.fetched_at { ", fetched at " (moment(at)) }
                    ", next fetch in " (lasting(issuer.next_fetch_in_seconds))
                }
                @if let Some(error) = &issuer.error { p { "The last fetch failed: " bdi { (error) } } }
            }
        }
    }
}

fn upstreams(places: &[AddressReport]) -> Markup {
    html! {
        section {
            h2 { "Upstreams" }
            @if places.is_empty() {
                p { "None is watched: none has several " code { "urls" } ", or " code { "health" } "." }
            } @else if places.iter().all(|place| place.up) {
                p { span.good { "Up:" } " every place that is watched (" (places.len()) ")." }
            }
            @for place in places.iter().filter(|place| !place.up) {
                h3 { (place.upstream) }
                p {
                    code { (place.address) } " " span.bad { (place.state) }
                    // One whose health checks fail is asked by those alone.
                    @if place.next_try_in_seconds > 0 { ", tried again in " (lasting(place.next_try_in_seconds)) }
                }
                @if let Some(error) = &place.error { p { "The last health check failed: " bdi { (error) } } }
            }
        }
    }
}

/// Certificates and keys, where something is wrong with them.
fn files(all: &[FilesReport]) -> Markup {
    let refused = || all.iter().filter_map(|files| files.refused.as_ref().map(|why| (&files.of, why)));
    html! {
        @if refused().next().is_some() {
            section {
                h2 { "Certificates and keys" }
                @for (of, why) in refused() {
                    h3 { (of) }
                    p { span.bad { "Refused:" } " the files as they are now; those before them stay in use. " bdi { (why) } }
                }
            }
        }
    }
}
