use super::*;
use crate::policy::{Kinds, Origins};
use crate::proxy::edge::approach::Edge;
use crate::proxy::identity::Written;

fn map(given: &[(&str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in given {
        fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    fields
}

/// What else there is to say or to hide. Where tokens stand: `authorization`, `header x`, `cookie x`.
#[derive(Default)]
struct Also<'a> {
    taken: &'a [&'a str],
    stripped: &'a [&'a str],
    kept: &'a [&'a str],
    version: Version,
    is_unmeasured: bool,
    prefix: Option<&'a str>,
    caller: Option<&'static str>,
}

fn sources(told: &[&str]) -> Vec<TokenSource> {
    let place = |told: &&str| match told.split_once(' ') {
        None if *told == "form" => Place::Form { name: "t".into(), forwards_errors: false },
        None => Place::Authorization,
        Some(("header", name)) => Place::Header(name.into()),
        Some(("kept", name)) => Place::Kept(name.into(), Origins::Same),
        Some((_cookie, name)) => Place::Cookie(name.into(), Origins::Same),
    };
    told.iter().map(|told| TokenSource { place: place(told), kinds: Kinds::Any }).collect()
}

/// What an upstream is told of these fields, in a map and over the line alike.
fn told(given: &[(&str, &str)], also: &Also<'_>) -> HeaderMap {
    static CALLER: HeaderName = HeaderName::from_static("x-stepgate-subject");
    let given = map(given);
    let edge = Edge::new(([192, 0, 2, 1], 4711).into(), ([127, 0, 0, 1], 8443).into(), None);
    let approach = edge.approach(&given);
    let (taken, stripped) = (sources(also.taken), sources(also.stripped));
    let kept: Vec<Box<str>> = also.kept.iter().map(|name| (*name).into()).collect();
    let caller = also.caller.map(|name| Identity::Again(Written::one(&CALLER, &HeaderValue::from_static(name)).into()));
    let fields = Fields {
        given: &given,
        glance: Glance::at(&given),
        approach: &approach,
        id: &HeaderValue::from_static("id"),
        via: &Said::new(HeaderValue::from_static("1.1 us")),
        identity: caller.as_ref(),
        stripped: stripped.iter().collect(),
        kept: &kept,
        taken: &taken,
        version: also.version,
        prefix: also.prefix,
        is_unmeasured: also.is_unmeasured,
    };
    let (mut once, mut twice, mut lines) = (HeaderMap::new(), HeaderMap::new(), Vec::new());
    fields.write(&mut once);
    fields.write(&mut twice);
    assert_eq!(once, twice, "the same however often it is sent");
    fields.write_lines(&mut lines);
    let mut lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let written = |(name, value): (&HeaderName, &HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    let mut fields: Vec<Vec<u8>> = once.iter().map(written).collect();
    lines.sort_unstable();
    fields.sort_unstable();
    assert_eq!(lines, fields, "the same over the line as in a map");
    once
}

/// The same on a route that looks for a token in the field `taken`.
fn written(given: &[(&str, &str)], taken: &str, version: Version, is_unmeasured: bool) -> HeaderMap {
    told(given, &Also { taken: &[&format!("header {taken}")], version, is_unmeasured, ..Also::default() })
}

#[test]
fn what_holds_a_token_goes_from_where_it_stands_and_what_stands_beside_it_stays() {
    let given = [
        ("authorization", "Bearer a"),
        ("authorization", "Bearer b"),
        ("cookie", "s=1; t=a.b.c;u=2;; w=x"),
        ("x-id-token", "a"),
        ("x-id-token", "b"),
        ("x_id_token", "c"),
        ("cookie", "t=d;  v=3"),
        ("x-id", "d"),
    ];
    let left = |stripped, kept| {
        let fields = told(&given, &Also { stripped, kept, taken: &["header x-id-token"], ..Also::default() });
        let values =
            |name| fields.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|");
        assert!(!fields.contains_key("x_id_token") && fields.contains_key("x-id"), "{stripped:?}");
        [values("authorization"), values("x-id-token"), values("cookie")]
    };
    let whole = "s=1; t=a.b.c;u=2;; w=x|t=d;  v=3";
    for (stripped, kept, is) in [
        (&[][..], &[][..], ["Bearer a|Bearer b", "a|b", whole]),
        (&["form"], &[], ["Bearer a|Bearer b", "a|b", whole]),
        (&["authorization"], &[], ["", "a|b", whole]),
        (&["header X-ID-Token"], &[], ["Bearer a|Bearer b", "", whole]),
        (&["header x_id_token"], &[], ["Bearer a|Bearer b", "a|b", whole]),
        (&["cookie t"], &[], ["Bearer a|Bearer b", "a|b", "s=1; u=2; w=x; v=3"]),
        (&["cookie none"], &[], ["Bearer a|Bearer b", "a|b", "s=1; t=a.b.c; u=2; w=x; t=d; v=3"]),
        (&["kept w"], &["u"], ["Bearer a|Bearer b", "a|b", "s=1; t=a.b.c; t=d; v=3"]),
        (&["header x-id-token", "cookie s", "authorization"], &["t", "u", "v", "w"], ["", "", ""]),
    ] {
        assert_eq!(left(stripped, kept), is, "{stripped:?} {kept:?}");
    }
    let fields = told(&given[..2], &Also { kept: &["t"], stripped: &["cookie t"], ..Also::default() });
    assert!(!fields.contains_key("cookie"), "nothing is made of none");
}

#[test]
fn a_cookie_that_is_hidden_stays_so_whatever_the_connection_lists() {
    let given = [("connection", "cookie, x"), ("cookie", "t=a; u=2"), ("x", "1")];
    let fields = told(&given, &Also { kept: &["t"], ..Also::default() });
    assert!(!fields.contains_key("cookie") && !fields.contains_key("x"));
    let fields = told(&given[1..], &Also { kept: &["t"], version: Version::HTTP_2, ..Also::default() });
    assert_eq!((&fields["cookie"], &fields["x"]), (&"u=2".parse().unwrap(), &"1".parse().unwrap()));
}

#[test]
fn what_only_we_say_stands_there_once_and_via_beside_that_of_others() {
    let given = [("via", "1.1 edge"), ("x-stepgate-subject", "eve"), ("x-forwarded-prefix", "/x"), ("host", "a")];
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let fields = told(&given, &Also { prefix: Some("/api"), caller: Some("ada"), version, ..Also::default() });
        for (name, value) in [("x-stepgate-subject", "ada"), ("x-forwarded-prefix", "/api"), ("x-forwarded-host", "a")]
        {
            assert_eq!(fields.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        assert_eq!(fields.get_all("via").iter().collect::<Vec<_>>(), ["1.1 edge", "1.1 us"]);
    }
}

fn prepared(given: &[(&str, &str)]) -> HeaderMap {
    written(given, "x-none", Version::HTTP_11, false)
}

#[test]
fn t13_our_names_go_in_every_spelling_and_others_stay() {
    for name in [
        "X-Stepgate-Level",
        "x_stepgate_level",
        "x.stepgate.level",
        "X-StepGate",
        "x-stepgate_amr",
        "x~stepgate!acr",
        "x-forwarded-user",
        "X_Forwarded_For",
    ] {
        assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
    }
    for name in ["x-step", "x-stepgat", "x-original", "x-requested-with", "stepgate", "x-http-methods"] {
        assert!(prepared(&[(name, "kept")]).values().any(|value| value == "kept"), "{name}");
    }
}

#[test]
fn t12_overrides_of_method_and_path_go() {
    for name in [
        "X-HTTP-Method-Override",
        "x_http_method",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Forwarded",
        "X-Method-Override",
        "X-Override-URL",
        "X-HTTP-Path-Override",
        "X_HTTP_Path_Override",
    ] {
        assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
    }
}

#[test]
fn t13_facts_of_the_connection_that_only_an_edge_may_tell_go() {
    for name in [
        "X-Client-IP",
        "X-Real-IP",
        "X_Real_IP",
        "True-Client-IP",
        "true_client_ip",
        "X-Cluster-Client-IP",
        "CF-Connecting-IP",
        "Client-Cert",
        "client_cert",
        "Client-Cert-Chain",
        "X-Forwarded-Client-Cert",
        "X-SSL-Client-Verify",
        "X_SSL_Client_S_DN",
        "SSL_CLIENT_CERT",
        "Proxy",
    ] {
        assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
    }
    for name in ["client", "client-certs", "x-ssl", "cf-ray", "x-client", "proxy-hint"] {
        assert!(prepared(&[(name, "kept")]).values().any(|value| value == "kept"), "{name}");
    }
}

#[test]
fn t17_another_spelling_of_a_field_that_was_looked_at_goes_and_the_field_stays() {
    for name in
        ["content_length", "Content.Length", "Transfer_Encoding", "transfer~encoding", "X_Request_ID", "content_type"]
    {
        assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
    }
    for name in ["content-length", "content-type", "authorization", "cookie", "my_length"] {
        assert!(prepared(&[(name, "1")]).values().any(|value| value == "1"), "{name}");
    }
    let taking = |given, taken| written(given, taken, Version::HTTP_11, false);
    let fields = taking(&[("x-id-token", "kept"), ("x_id_token", "forged"), ("x_id", "kept")], "X-Id-Token");
    assert_eq!(fields.get("x-id-token").unwrap(), "kept");
    assert!(fields.contains_key("x_id") && !fields.contains_key("x_id_token"));
    let fields = taking(&[("x-id-token", "forged"), ("x_id_token", "kept")], "X_Id_Token");
    assert!(fields.contains_key("x_id_token") && !fields.contains_key("x-id-token"), "a policy may name it so");
}

#[test]
fn t14_connection_is_obeyed_before_ours_are_set_and_never_takes_the_host() {
    let fields = prepared(&[
        ("connection", "x-forwarded-for, X-Mine , host"),
        ("connection", "keep-alive, x-request-id"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("host", "a.example:1"),
    ]);
    let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "connection",
            "forwarded",
            "host",
            "te",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id"
        ]
    );
    assert_eq!((&fields["connection"], &fields["te"]), (&"te".parse().unwrap(), &"trailers".parse().unwrap()));
    assert_eq!(fields["x-forwarded-for"], "192.0.2.1");
    assert_eq!(fields["x-forwarded-host"], "a.example:1");
    assert_eq!(fields["forwarded"], "for=192.0.2.1;proto=http");
    assert_eq!(fields["x-request-id"], "id");
}

#[test]
fn a_body_that_nobody_measured_goes_in_chunks_and_the_host_over_http_2_in_the_target() {
    let given = [("host", "a.example"), ("content-length", "7"), ("te", "gzip, Trailers"), ("x-request-id", "1")];
    let told = written(&given, "x-none", Version::HTTP_11, true);
    assert_eq!((&told["transfer-encoding"], told.get("content-length")), (&HeaderValue::from_static("chunked"), None));
    assert_eq!(
        (&told["te"], &told["connection"]),
        (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
    );
    assert_eq!(told["host"], "a.example");
    let told = written(&given, "x-none", Version::HTTP_2, true);
    for name in ["transfer-encoding", "content-length", "connection", "host"] {
        assert!(!told.contains_key(name), "{name}");
    }
    assert_eq!(
        (&told["te"], &told["x-forwarded-host"]),
        (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("a.example"))
    );
    assert_eq!(written(&given, "x-none", Version::HTTP_11, false)["content-length"], "7");
}
