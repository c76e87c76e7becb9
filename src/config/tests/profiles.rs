//! What profiles come to under an issuer: shipped ones, local ones, ladders that they carry, who is a client.

use serde_json::{Value, json};

use crate::assurance::{Assurance, Caller, Issuer, View};
use crate::config::profile::Profile;
use crate::config::{Loaded, SourceFile, load_policy, load_policy_over, write};
use crate::token::{Json, Timestamp, danger_assume_signed};

fn file(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { name: "policy.yaml".into(), folder: "policies".into(), text: text.to_owned() }]
}

fn taken(text: &str) -> Loaded {
    load_policy(file(text)).unwrap_or_else(|rejected| panic!("{}\n{text}", rejected.lines().join("\n")))
}

fn refused(text: &str) -> String {
    load_policy(file(text)).unwrap_err().lines().join("\n")
}

/// A policy with one issuer, `idp`.
fn with(before: &str, more: &str) -> String {
    format!(
        "version: 1\n{before}\nissuers:\n  idp:\n    issuer: https://idp.example\n    access: {{ audiences: [api] }}\n{more}"
    )
}

const NOW: Timestamp = Timestamp::from_seconds(1_767_268_800);

/// What a token of `idp` with these claims comes to.
fn assess(loaded: &Loaded, claims: &Value) -> Assurance {
    let mut all = json!({ "iss": "https://idp.example", "aud": "api", "exp": 1_767_268_860, "sub": "ann" });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let issuer = &loaded.policy.issuers()[0];
    let claims = Json::parse(&all.to_string()).unwrap();
    let token = danger_assume_signed(claims, None, &issuer.expectation, NOW).unwrap();
    issuer.assess(&token, loaded.policy.claims())
}

/// The rungs that such a token reaches.
fn reached(loaded: &Loaded, claims: &Value) -> Vec<String> {
    let assurance = assess(loaded, claims);
    let view = View { evidence: &assurance.evidence, claims: &assurance.claims, ignored: None };
    let ladders = loaded.policy.ladders();
    let rungs = loaded.policy.issuers()[0].levels(ladders, assurance.caller, &view);
    rungs.iter().map(|rung| ladders.name(*rung).to_owned()).collect()
}

/// A profile with two ladders, and a version of it that is no longer the newest.
const SHIPPED: &[Profile] = &[
    Profile {
        stem: "north",
        text: "profile: north\nversion: 2\ntitle: t\nabout: a\nsends: [acr]\nladders: { loa: [loa-low, loa-mid, loa-high] }\nissuer:\n  access: { typ: [at+jwt, none], has: { use: access } }\n  id: { has: { use: id } }\n  proves:\n    single-factor: { acr: [a, b, c] }\n    multi-factor: { acr: [b, c] }\n    loa-low: { acr: [a, b, c] }\n    loa-mid: { acr: [b, c] }\n    loa-high: { acr: [c] }\n  challenge: { loa-high: [c], multi-factor: [b] }\n",
    },
    Profile {
        stem: "north@1",
        text: "profile: north\nversion: 1\ntitle: t\nabout: a\nsends: [acr]\nissuer:\n  proves: { single-factor: { acr: [old] } }\n",
    },
];

fn over(text: &str) -> Loaded {
    load_policy_over(file(text), SHIPPED).unwrap_or_else(|rejected| panic!("{}\n{text}", rejected.lines().join("\n")))
}

fn refused_over(text: &str) -> String {
    load_policy_over(file(text), SHIPPED).unwrap_err().lines().join("\n")
}

#[test]
fn a_profile_never_adds_a_kind_of_token_that_the_operator_did_not_write() {
    let loaded = over(&with("", "    profile: north\n"));
    let expectation = &loaded.policy.issuers()[0].expectation;
    assert_eq!(expectation.id, None, "the profile knows id_tokens, the operator takes none");
    let access = expectation.access.as_ref().unwrap();
    assert_eq!(access.types, [Some("at+jwt".into()), None].into(), "its shape of access tokens is the profile's");
    assert_eq!(access.has.len(), 1);
    let loaded = over(
        &with("", "    profile: north\n    id: { audiences: [web], has: [nonce, use] }\n")
            .replace("access: { audiences: [api] }", "access: { audiences: [api], has: { use: api } }"),
    );
    let expectation = &loaded.policy.issuers()[0].expectation;
    assert_eq!(expectation.id.as_ref().unwrap().has.len(), 2, "a list is replaced whole");
    let loaded = over(
        &with("", "    profile: north\n")
            .replace("access: { audiences: [api] }", "access: { audiences: [api], has: { tenant: t } }"),
    );
    let access = loaded.policy.issuers()[0].expectation.access.as_ref().unwrap();
    assert_eq!(access.has.len(), 2, "what the operator asks for does not take away what tells the tokens");
}

#[test]
fn a_profile_that_widens_trust_for_all_is_of_no_use_to_an_issuer_without_audiences() {
    let refused = refused_over(&with("", "    profile: north\n    id: {}\n"));
    assert!(refused.contains("`id` needs `audiences`"), "{refused}");
}

#[test]
fn rungs_of_a_profiles_own_ladder_count_where_the_policy_has_them() {
    let without = over(&with("", "    profile: north\n"));
    assert_eq!(reached(&without, &json!({ "acr": "c", "use": "access" })), ["multi-factor"]);
    assert!(without.lints.iter().all(|lint| lint.code != "profile_proof_dropped"), "{:?}", without.lints);
    let with_all = over(&with("ladders: { loa: [loa-low, loa-mid, loa-high] }", "    profile: north\n"));
    for (acr, rungs) in
        [("a", ["single-factor", "loa-low"]), ("b", ["multi-factor", "loa-mid"]), ("c", ["multi-factor", "loa-high"])]
    {
        assert_eq!(reached(&with_all, &json!({ "acr": acr, "use": "access" })), rungs);
    }
    let named = over(&with("ladders: { id: [low, { name: top, like: loa-high }] }", "    profile: north\n"));
    assert_eq!(reached(&named, &json!({ "acr": "c", "use": "access" })), ["multi-factor", "top"]);
    assert_eq!(reached(&named, &json!({ "acr": "b", "use": "access" })), ["multi-factor"]);
    let fewer = over(&with("ladders: { id: [loa-low] }", "    profile: north\n"));
    assert_eq!(
        reached(&fewer, &json!({ "acr": "c", "use": "access" })),
        ["multi-factor", "loa-low"],
        "the nearest weaker one"
    );
}

#[test]
fn a_profiles_ladder_in_another_order_is_refused() {
    for ladders in ["{ loa: [loa-high, loa-low] }", "{ one: [loa-low], two: [loa-high] }"] {
        let refused = refused_over(&with(&format!("ladders: {ladders}"), "    profile: north\n"));
        assert!(refused.contains("for the profile `north`, `loa-high` is stronger than `loa-low`"), "{refused}");
    }
    let refused =
        refused_over(&with("ladders: { loa: [{ name: a, like: loa-low }, loa-low] }", "    profile: north\n"));
    assert!(refused.contains("two rungs are like `loa-low`"), "{refused}");
}

#[test]
fn a_rung_of_a_further_ladder_never_stands_for_a_default_one() {
    let levels = "levels: [{ name: loa-high, like: single-factor }]\nladders: { x: [{ name: y, like: multi-factor }] }";
    let loaded = over(&with(levels, "    profile: north\n"));
    assert_eq!(
        reached(&loaded, &json!({ "acr": "c", "use": "access" })),
        ["loa-high"],
        "as single-factor, by its `like`"
    );
    assert_eq!(reached(&loaded, &json!({ "acr": "a", "use": "access" })), ["loa-high"]);
}

#[test]
fn an_older_version_can_be_named_and_is_told_to_be_older() {
    let loaded = over(&with("", "    profile: north@1\n"));
    assert_eq!(reached(&loaded, &json!({ "acr": "old" })), ["single-factor"]);
    assert_eq!((loaded.in_use[0].profile.version, &*loaded.in_use[0].issuer), (1, "idp"));
    let lint = loaded.lints.iter().find(|lint| lint.code == "profile_outdated").unwrap();
    assert!(
        lint.message.contains("`north@1` is not the newest") && lint.message.contains("`north@2`"),
        "{}",
        lint.message
    );
    for newest in ["north", "north@2"] {
        let loaded = over(&with("", &format!("    profile: {newest}\n")));
        assert!(loaded.lints.iter().all(|lint| lint.code != "profile_outdated"), "{newest}");
        assert_eq!(loaded.in_use[0].profile.version, 2);
    }
    let refused = refused_over(&with("", "    profile: north@3\n"));
    assert!(refused.contains("this version ships `north@2` or `north@1`, not `north@3`"), "{refused}");
}

const LOCAL: &str = "profiles:\n  ours:\n    profile: okta\n    ignore_amr: [sms]\n    factor_classes: { badge: possession }\n    proves: { multi-factor: { acr: [gold] } }\n    mapping: { acr: { rename: { \"2\": gold } } }\n  stricter:\n    profile: ours\n    ignore_amr: [tel]\n    trust: { max_level: multi-factor }\n";

#[test]
fn a_local_profile_goes_over_the_one_under_it_key_by_key_and_the_issuer_over_both() {
    let loaded = taken(&with(LOCAL, "    profile: stricter\n    mapping: { acr: { rename: { \"3\": gold } } }\n"));
    let issuer = &loaded.policy.issuers()[0];
    assert_eq!(issuer.ignore_amr, ["tel".into()].into(), "a list is replaced whole");
    assert!(issuer.methods.get("badge").is_some() && issuer.methods.get("okta_verify").is_some(), "maps merge");
    assert_eq!(issuer.mapping.acr.rename.len(), 2, "down to each value that is renamed");
    assert_eq!(reached(&loaded, &json!({ "acr": "2" })), ["multi-factor"], "an expression is replaced whole");
    assert_eq!(reached(&loaded, &json!({ "acr": "urn:okta:loa:2fa:any" })), ["single-factor"]);
    assert_eq!(reached(&loaded, &json!({ "acr": "phrh", "amr": ["pwd", "okta_verify"] })), ["multi-factor"], "capped");
    assert_eq!(&*loaded.in_use[0].profile.name, "okta");
}

#[test]
fn a_local_profile_speaks_of_the_policys_own_levels() {
    let levels = "levels: [{ name: low, like: single-factor }, { name: high, like: multi-factor }]\n";
    let local = "profiles: { ours: { profile: openfinance-brasil, proves: { high: { acr: [gold] } }, challenge: { high: [gold] } } }";
    let loaded = taken(&with(&format!("{levels}{local}"), "    profile: ours\n"));
    assert_eq!(reached(&loaded, &json!({ "acr": "gold" })), ["high"]);
    assert_eq!(reached(&loaded, &json!({ "acr": "urn:brasil:openbanking:loa3" })), ["low"]);
    let refused = refused(&with(&format!("{levels}{local}").replace("{ high:", "{ multi-factor:"), ""));
    assert!(refused.contains("unknown level `multi-factor`"), "{refused}");
}

#[test]
fn no_more_local_profiles_build_on_each_other_than_anyone_can_read() {
    let chain = |links: usize| {
        let profiles: String =
            (1..links).map(|place| format!("  p{place}: {{ profile: p{} }}\n", place.saturating_sub(1))).collect();
        with(&format!("profiles:\n  p0: {{ mfa: derived }}\n{profiles}"), &format!("    profile: p{}\n", links - 1))
    };
    let _deep_enough = taken(&chain(16));
    let refused = refused(&chain(400));
    assert!(refused.contains("more than 16 local profiles build on each other here"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_local_profile_is_said_whether_or_not_it_is_used() {
    for (local, says) in [
        ("{ okta: { mfa: derived } }", "`okta` is a shipped profile, and no other can take its name"),
        ("{ a: { profile: b }, b: { profile: c }, c: { profile: a } }", "in a ring: `a`, `b`, `c` and again `a`"),
        ("{ a: { profile: a } }", "in a ring: `a` and again `a`"),
        ("{ a@1: { mfa: derived } }", "needs a name, without `@`"),
        ("{ a: { issuer: \"https://x.example\" } }", "unknown key `issuer` in a local profile"),
        ("{ a: { profile: octa } }", "unknown profile `octa`; did you mean `okta`?"),
        ("{ a: { mfa: maybe } }", "expected `claimed` or `derived`"),
        ("{ a: { access: { typ: [] } } }", "empty list"),
        ("{ a: { proves: { top: { factors: 1 } } } }", "unknown level `top`"),
        ("{ a: { client_when: { acr: [x] } } }", "only a user has evidence of a sign-in"),
    ] {
        let refused = refused(&with(&format!("profiles: {local}"), ""));
        assert!(refused.contains(says), "{local} says {refused}");
    }
    let refused = refused(&with("profiles: { a: { profile: b }, b: { profile: a } }", "    profile: a\n"));
    assert!(refused.contains("in a ring"), "{refused}");
}

#[test]
fn an_issuer_can_build_on_a_local_profile_that_builds_on_none() {
    let local = "profiles: { ours: { proves: { single-factor: { acr: [x] } }, access: { audiences: [api] } } }";
    let loaded =
        taken(&with(local, "    profile: ours\n").replace("access: { audiences: [api] }\n    p", "access: {}\n    p"));
    assert_eq!(reached(&loaded, &json!({ "acr": "x" })), ["single-factor"]);
    assert_eq!(loaded.in_use, []);
}

#[test]
fn client_when_makes_a_caller_a_client_and_never_a_user() {
    let rule = "    client_when: { any: [ { claims: { idtyp: app } }, { claims: { clientHost: { present: true } } } ] }\n    mapping: { amr: { absent: [pwd] } }\n    proves: { single-factor: { factors: 1 } }\n";
    let loaded = taken(&with("", rule));
    let caller = |claims: Value| assess(&loaded, &claims).caller;
    assert_eq!(caller(json!({ "idtyp": "app" })), Caller::Client);
    assert_eq!(caller(json!({ "clientHost": "10.0.0.1" })), Caller::Client, "whatever its value");
    for user in [
        json!({}),
        json!({ "idtyp": "user" }),
        json!({ "idtyp": null }),
        json!({ "clientHost": [] }),
        json!({ "idtyp": 1 }),
    ] {
        assert_eq!(caller(user.clone()), Caller::User, "{user}");
    }
    assert_eq!(caller(json!({ "idtyp": "user", "azp": "ann" })), Caller::Client, "the usual rule stands");
    assert_eq!(caller(json!({ "idtyp": "app", "client_id": 7 })), Caller::Unclear, "what is unreadable stays so");
    assert_eq!(reached(&loaded, &json!({})), ["single-factor"], "`absent` stands in for a user");
    assert_eq!(reached(&loaded, &json!({ "idtyp": "app" })), [""; 0], "and for no client");
    assert_eq!(reached(&loaded, &json!({ "idtyp": "app", "amr": ["pwd"] })), [""; 0], "not even what it says itself");
}

#[test]
fn what_is_absent_is_never_certainly_not_there() {
    let rule = "    client_when: { not: { claims: { scp: { present: true } } } }\n    proves: { single-factor: { not: { claims: { a: { present: true } } } }, multi-factor: { claims: { a: { present: true } } } }\n";
    let loaded = taken(&with("", rule));
    assert_eq!(assess(&loaded, &json!({})).caller, Caller::User);
    assert_eq!(assess(&loaded, &json!({ "scp": "x" })).caller, Caller::User);
    assert_eq!(reached(&loaded, &json!({})), [""; 0]);
    assert_eq!(reached(&loaded, &json!({ "a": false })), ["multi-factor"]);
    let refused = refused(&with("", "    proves: { single-factor: { claims: { a: { present: false } } } }\n"));
    assert!(refused.contains("what is absent proves nothing"), "{refused}");
}

#[test]
fn another_value_of_a_claim_that_tells_kinds_or_clients_is_another_fingerprint() {
    let fingerprint = |more: &str| {
        taken(&with("", more).replace("access: { audiences: [api] }", "access: { audiences: [api], has: { use: a } }"))
            .policy
            .issuers()[0]
            .fingerprint
    };
    let rule = |value: &str| format!("    client_when: {{ claims: {{ idtyp: {value} }} }}\n");
    assert_eq!(fingerprint(&rule("app")), fingerprint(&rule("\"app\"")));
    assert_ne!(fingerprint(&rule("app")), fingerprint(&rule("job")));
    assert_ne!(fingerprint(&rule("app")), fingerprint(""));
    let has = |value: &str| {
        let text = with("", "").replace("audiences: [api] ", &format!("audiences: [api], has: {{ use: {value} }} "));
        taken(&text).policy.issuers()[0].fingerprint
    };
    assert_ne!(has("access"), has("api"));
    assert_eq!(has("access"), has("[access]"));
}

/// The policy's hash over this version of the profile.
fn hash(profile: &'static str, policy: &str) -> String {
    let shipped: &'static [Profile] = Vec::leak(vec![Profile { stem: "p", text: profile }]);
    load_policy_over(file(policy), shipped).unwrap().policy.hash().to_owned()
}

#[test]
fn the_policys_hash_covers_what_profiles_mean_and_not_their_comments() {
    let policy = with("", "    profile: p\n");
    const ONE: &str = "profile: p\nversion: 1\ntitle: t\nabout: a\nsends: [acr]\nissuer: { proves: { single-factor: { acr: [a] } } }\n";
    let text = |from: &str, to: &str| -> &'static str { String::leak(ONE.replace(from, to)) };
    assert_eq!(hash(ONE, &policy), hash(text("issuer: {", "# a comment\nissuer: { "), &policy));
    assert_eq!(hash(ONE, &policy), hash(text("about: a", "about: b"), &policy), "it means the same");
    assert_ne!(hash(ONE, &policy), hash(text("[a]", "[b]"), &policy));
    assert_ne!(hash(ONE, &policy), hash(text("version: 1", "version: 2"), &policy), "a release of its own");
    assert_ne!(hash(ONE, &policy), hash(text("issuer: {", "issuer: { mfa: derived,"), &policy));
    assert_ne!(
        hash(ONE, &policy),
        hash(ONE, &format!("# a comment\n{policy}")),
        "the operator's own files count whole"
    );
    let unused = with("profiles: { q: { mfa: derived } }", "    profile: p\n");
    assert_ne!(hash(ONE, &unused), hash(ONE, &policy));
}

#[test]
fn an_expanded_entry_compiles_to_the_same_issuer_without_any_profile() {
    let levels = "levels: [{ name: low, like: single-factor }, { name: high, like: multi-factor }]\nladders: { loa: [loa-low, { name: sure, like: loa-mid }] }";
    for (before, more) in [
        ("", "    profile: okta\n    mfa: derived\n    id: { audiences: [web] }\n"),
        (LOCAL, "    profile: stricter\n    mapping: { amr: { absent: unknown }, client: { from: [\"/a~1b/c\"] } }\n"),
        (
            levels,
            "    profile: openfinance-brasil\n    proves: { sure: { claims: { \"x y\": [1, \"1\", true], z: { present: true } } } }\n",
        ),
    ] {
        let loaded = taken(&with(before, more));
        let entry = loaded.expanded.iter().find(|entry| entry.section == "issuers").unwrap();
        let axes: String = loaded.axes.iter().map(|(name, node)| format!("{name}: {}\n", write::line(node))).collect();
        let body: String = write::yaml(&entry.node).lines().map(|line| format!("    {line}\n")).collect();
        let again = taken(&format!("version: 1\n{axes}issuers:\n  idp:\n{body}"));
        // Hints are what a profile says to the operator, not what it says of an issuer.
        let judged = |loaded: &Loaded| -> Vec<Issuer> {
            let bare = |issuer: &Issuer| Issuer { hints: crate::reason::Hints::default(), ..issuer.clone() };
            loaded.policy.issuers().iter().map(bare).collect()
        };
        assert_eq!(judged(&again), judged(&loaded), "{body}");
        assert_eq!(again.in_use, []);
        assert!(!body.contains("profile:"), "{body}");
    }
}
