//! What profiles, `like`, caps and overriding come to, told by the compiled policy.

use crate::assurance::{Challenge, Expression, Issuer};
use crate::config::{Loaded, Problem, Rejected, SourceFile, load_policy};

mod metadata;
mod profiles;

fn load(files: &[(&str, &str)]) -> Result<Loaded, Box<Rejected>> {
    let file = |(name, text): &(&str, &str)| SourceFile {
        name: (*name).to_owned(),
        folder: "policies".into(),
        text: (*text).to_owned(),
    };
    load_policy(files.iter().map(file).collect())
}

fn taken(text: &str) -> Loaded {
    load(&[("policy.yaml", text)]).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")))
}

/// A policy with one issuer, `idp`; `more` is what the issuer says besides.
fn with(before: &str, more: &str) -> Loaded {
    taken(&format!(
        "version: 1\n{before}\nissuers:\n  idp:\n    issuer: https://idp.example\n    access: {{ audiences: [api] }}\n{more}"
    ))
}

fn idp(loaded: &Loaded) -> &Issuer {
    &loaded.policy.issuers()[0]
}

/// Each proof's rung with the `acr` values that it names and those that its challenge asks for.
fn proofs(loaded: &Loaded) -> Vec<(String, Vec<String>, Vec<String>)> {
    let strings = |values: &[Box<str>]| values.iter().map(ToString::to_string).collect();
    let proof = |proof: &crate::assurance::Proof| {
        let (Challenge::Listed(asked) | Challenge::Derived(asked)) = &proof.challenge;
        let name = loaded.policy.ladders().name(proof.rung).to_owned();
        (name, strings(&proof.evidence.acr_values()), strings(asked))
    };
    idp(loaded).proofs.iter().map(proof).collect()
}

fn rungs(loaded: &Loaded) -> Vec<String> {
    proofs(loaded).into_iter().map(|(rung, _, _)| rung).collect()
}

#[test]
fn a_profiles_proofs_stand_on_the_default_ladder_as_they_are() {
    let loaded = with("", "    profile: okta\n");
    assert_eq!(rungs(&loaded), ["single-factor", "multi-factor", "phishing-resistant", "hardware-protected"]);
    assert_eq!(proofs(&loaded)[2].2, ["phr"], "the profile's own challenge");
}

#[test]
fn like_carries_a_profiles_proofs_and_challenges_over() {
    let levels = "levels: [{ name: low, like: single-factor }, { name: high, like: multi-factor }, { name: top, like: hardware-protected }]";
    let loaded = with(levels, "    profile: okta\n");
    // No rung is like `phishing-resistant`: its proof counts for the nearest weaker one, its challenge for none.
    assert_eq!(rungs(&loaded), ["low", "high", "top"]);
    assert_eq!(proofs(&loaded)[1].1, ["urn:okta:loa:2fa:any", "phr", "phrh"], "the weaker proof, or the stronger");
    assert_eq!(proofs(&loaded)[1].2, ["urn:okta:loa:2fa:any"], "the rung's challenge, not the stronger one's");
    assert_eq!(proofs(&loaded)[2].2, ["phrh"]);
}

#[test]
fn a_level_with_a_default_name_is_like_itself() {
    let loaded = with("levels: [guest, multi-factor]", "    profile: openfinance-brasil\n");
    assert_eq!(rungs(&loaded), ["multi-factor"]);
    let dropped = |lint: &Problem| lint.code == "profile_proof_dropped";
    assert!(loaded.lints.iter().any(dropped), "nothing is like single-factor or weaker");
}

#[test]
fn an_issuers_own_proof_replaces_the_profiles_whole_and_leaves_the_others() {
    let loaded = with("", "    profile: openfinance-brasil\n    proves: { multi-factor: { acr: [gold] } }\n");
    let loa = |n: u8| format!("urn:brasil:openbanking:loa{n}");
    let gold = vec!["gold".to_owned()];
    let single = ("single-factor".to_owned(), vec![loa(2), loa(3)], vec![loa(2)]);
    let expected = [single, ("multi-factor".to_owned(), gold, vec![loa(3)])];
    assert_eq!(proofs(&loaded), expected);
}

#[test]
fn an_issuers_own_challenge_goes_over_the_profiles() {
    let loaded = with("", "    profile: openfinance-brasil\n    challenge: { multi-factor: [x, y] }\n");
    assert_eq!(proofs(&loaded)[1].2, ["x", "y"]);
    assert_eq!(proofs(&loaded)[0].2, ["urn:brasil:openbanking:loa2"]);
}

#[test]
fn a_challenge_is_derived_from_the_proof_when_none_is_listed() {
    let loaded = with("", "    proves: { multi-factor: { any: [ { acr: [b, a] }, { acr: [a] }, { factors: 2 } ] } }\n");
    assert_eq!(idp(&loaded).proofs[0].challenge, Challenge::Derived(["b".into(), "a".into()].into()));
}

#[test]
fn a_derived_challenge_speaks_the_issuers_own_words() {
    let own = "    mapping: { acr: { rename: { strong: gold, raw: other } } }\n    proves: { multi-factor: { acr: [gold, raw, plain] } }\n";
    assert_eq!(proofs(&with("", own))[0].2, ["strong", "gold", "plain"], "`raw` means another here");
}

#[test]
fn max_level_caps_stronger_proofs_and_keeps_them() {
    let loaded = with("", "    profile: okta\n    trust: { max_level: multi-factor }\n");
    assert_eq!(rungs(&loaded), ["single-factor", "multi-factor", "multi-factor", "multi-factor"]);
    assert_eq!(proofs(&loaded)[3].1, ["phrh"], "weakest first by what they were before the cap");
    let own = "    trust: { max_level: [low, P1] }\n    proves: { high: { factors: 2 }, P2: { claims: { p: 2 } } }\n";
    let loaded = with("levels: [low, high]\nladders: { identity: [P1, P2] }", own);
    assert_eq!(rungs(&loaded), ["low", "P1"]);
}

#[test]
fn maps_merge_key_by_key_and_lists_are_replaced_whole() {
    let own = "    profile: okta\n    mapping: { client: { from: [azp] }, amr: { rename: { x: pwd } } }\n    factor_classes: { sms: none, badge: possession }\n    mfa: derived\n";
    let (okta, own) = (with("", "    profile: okta\n"), with("", own));
    assert_eq!(idp(&own).mapping.client.len(), 1, "a list is replaced");
    assert_eq!(idp(&own).mapping.scopes, idp(&okta).mapping.scopes, "what is not named stays");
    assert_eq!(idp(&own).mapping.amr.rename.len(), 1);
    let class = |loaded: &Loaded, value: &str| idp(loaded).methods.get(value);
    assert_eq!(class(&own, "sms").map(|class| class.is.count()), Some(0));
    assert_eq!(class(&okta, "sms").map(|class| class.is.count()), Some(1));
    assert_eq!(class(&own, "badge").map(|class| class.is.count()), Some(1));
    assert_eq!(class(&own, "duo"), class(&okta, "duo"));
    assert!(idp(&own).reading.mfa_derived && !idp(&okta).reading.mfa_derived);
}

#[test]
fn what_says_nothing_means_the_standards() {
    let loaded = with("", "");
    let issuer = idp(&loaded);
    let names = |paths: &[crate::token::ClaimPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&issuer.mapping.client), ["client_id", "azp"]);
    assert_eq!(names(&issuer.mapping.scopes), ["scope", "scp"]);
    assert!(issuer.mapping.acr.trusted && issuer.mapping.acr.accept.string && !issuer.mapping.acr.accept.array);
    assert!(issuer.mapping.amr.accept.array && !issuer.mapping.amr.accept.string);
    assert_eq!(issuer.expectation.algorithms, None);
    let types = &issuer.expectation.access.as_ref().unwrap().types;
    assert_eq!(**types, [Some("at+jwt".into()), Some("jwt".into()), None]);
    assert_eq!(loaded.keys[0].source, crate::token::KeySource::discovery());
}

#[test]
fn values_keep_their_json_types() {
    let proof = "    proves: { single-factor: { claims: { a: [5, \"5\", true, \"true\", 1e3, 007, -1.5, no] } } }\n";
    let loaded = with("", proof);
    let Expression::Claim(_, values) = &idp(&loaded).proofs[0].evidence else { panic!("a claim") };
    let shown = serde_json::to_string(&values.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(shown, r#"[5,"5",true,"true","1e3","007",-1.5,"no"]"#);
}

#[test]
fn a_fingerprint_changes_with_all_by_which_tokens_are_verified_or_mapped() {
    let base = idp(&with("", "")).fingerprint;
    assert_eq!(base, idp(&with("", "")).fingerprint);
    for more in [
        "    algorithms: [ES256]\n",
        "    id: { audiences: [c] }\n",
        "    keys: { jwks_url: https://idp.example/keys }\n",
        "    trust: { amr: false }\n",
        "    mapping: { acr: { rename: { a: b } } }\n",
        "    factor_classes: { badge: possession }\n",
        "    ignore_amr: [sms]\n",
        "    mfa: derived\n",
        "    user_verification: trusted\n",
        "    pair: subject\n",
        "routes: [{ name: a, match: { path: /a }, require: { claims: { c: 1 } } }]\n",
    ] {
        assert_ne!(idp(&with("", more)).fingerprint, base, "{more}");
    }
    assert_eq!(
        idp(&with("", "    proves: { single-factor: { factors: 1 } }\n")).fingerprint,
        base,
        "levels are reckoned anew"
    );
}

#[test]
fn several_files_are_one_policy_whatever_order_they_come_in() {
    let issuers = "version: 1\nissuers: { idp: { issuer: \"https://idp.example\", access: { audiences: [api] }, profile: rfc8176 } }\n";
    let (a, b) = (
        "version: 1\nroutes: [{ name: a, match: { path: /a }, require: { level: single-factor } }]\n",
        "version: 1\nlevels: [single-factor]\nroutes: [{ name: b, match: { path: /b }, require: public }]\n",
    );
    let one = load(&[("i.yaml", issuers), ("a.yaml", a), ("b.yaml", b)]).unwrap();
    let other = load(&[("b.yaml", b), ("i.yaml", issuers), ("a.yaml", a)]).unwrap();
    assert_eq!(one.policy.hash(), other.policy.hash());
    assert_eq!(one.policy.routes(), other.policy.routes());
    assert!(one.policy.hash().starts_with("sha256:") && one.policy.hash().len() == 71);
    assert_ne!(load(&[("i.yaml", issuers), ("a.yaml", a)]).unwrap().policy.hash(), one.policy.hash());
}

fn refused(files: &[(&str, &str)]) -> String {
    load(files).map_or_else(|rejected| rejected.lines().join("\n"), |_| "taken".to_owned())
}

#[test]
fn what_holds_for_the_folder_stands_in_one_file() {
    let twice = "version: 1\nlevels: [low]\ntake: [authorization]\n";
    let said = refused(&[("a.yaml", twice), ("b.yaml", twice)]);
    assert!(said.contains("b.yaml:2:1: `levels` stands in two files"), "{said}");
    assert!(said.contains("b.yaml:3:1: `take` stands in two files"), "{said}");
}

#[test]
fn names_and_issuers_are_unique_across_files() {
    let one = "version: 1\nissuers: { idp: { issuer: \"https://idp.example\", access: { audiences: [api] } } }\n";
    let other = one.replace("idp:", "other:");
    assert!(refused(&[("a.yaml", one), ("b.yaml", &other)]).contains("two issuers are `https://idp.example`"));
    assert!(refused(&[("a.yaml", one), ("b.yaml", one)]).contains("two issuers are called `idp`"));
    let route = "version: 1\nroutes: [{ name: a, match: { path: /x }, require: public }]\n";
    let said = refused(&[("a.yaml", route), ("b.yaml", &route.replace("name: a", "name: b"))]);
    assert!(said.contains("`a` and `b` match some of the same requests"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_brings_no_complaints_about_what_may_stand_in_it() {
    let route = "version: 1\nroutes: [{ name: a, match: { path: /x }, require: { issuers: [idp] } }]\n";
    let said = refused(&[("a.yaml", route), ("b.yaml", "version: [")]);
    assert!(said.contains("b.yaml") && !said.contains("a.yaml"), "{said}");
}

#[test]
fn a_policy_with_nothing_in_it_lets_nothing_through() {
    assert_eq!(taken("version: 1\n").policy.routes().len(), 0);
    assert!(refused(&[("a.yaml", "")]).contains("a.yaml:1:1: the file is empty"));
    assert!(refused(&[("a.yaml", "- 1\n")]).contains("expected a policy as a mapping, found a list"));
    assert!(load(&[]).is_ok());
}

#[test]
fn kinds_of_one_audience_are_told_apart_by_types_that_do_not_meet_or_by_claims_on_both_sides() {
    let issuer = |access: &str, id: &str| {
        refused(&[(
            "a.yaml",
            &format!(
                "version: 1\nissuers: {{ idp: {{ issuer: \"https://idp.example\", access: {{ audiences: [api]{access} }}, id: {{ audiences: [api]{id} }} }} }}\n"
            ),
        )])
    };
    assert_eq!(issuer(", typ: [at+jwt]", ""), "taken");
    assert_eq!(issuer(", has: [scope]", ", has: [nonce]"), "taken");
    assert!(issuer("", "").contains("can't be told apart"));
    assert_eq!(issuer(", has: { use: access }", ", has: { use: id }"), "taken", "one claim, other values");
    assert_eq!(issuer(", has: { use: [a, b] }", ", has: { use: [c, \"1\"] }"), "taken");
    assert_eq!(issuer(", has: { use: 1 }", ", has: { use: \"1\" }"), "taken", "other JSON types");
    for (access, id) in [
        (", has: { use: [a, b] }", ", has: { use: [b, c] }"),
        (", has: { use: a }", ""),
        (", has: { use: a }", ", has: [use]"),
        (", has: { use: a }", ", has: { use: a }"),
        (", has: { use: 1 }", ", has: { use: 1.0 }"),
    ] {
        assert!(issuer(access, id).contains("can't be told apart"), "{access} {id}");
    }
    assert!(issuer(", has: [scope]", "").contains("can't be told apart"), "an id_token may have a scope too");
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::config::load_settings;

    proptest! {
        #[test]
        fn no_change_of_a_whole_policy_makes_it_panic(at in 0usize..4000, with in "[-:\\[\\]{}, \n0-9a-z\"*/&~]{0,6}", cut in 0usize..12) {
            let mut text = include_str!("../../../tests/config/valid/whole.yaml").to_owned();
            let start = at.min(text.len());
            let end = start.saturating_add(cut).min(text.len());
            text.replace_range(start..end, &with);
            if let Err(rejected) = load(&[("a.yaml", &text)]) {
                prop_assert!(!rejected.problems.is_empty());
                prop_assert!(rejected.lines().iter().all(|line| line.contains(": ")));
            }
        }

        #[test]
        fn no_text_makes_the_settings_panic(text in "(version|listeners|upstreams|address|url|limits|[-: \n{}\\[\\],\"a-z0-9./]){0,30}") {
            let file = SourceFile { name: "s".into(), folder: ".".into(), text };
            prop_assert!(load_settings(file).is_err());
        }
    }
}

#[test]
fn the_hint_of_a_denial_is_the_profiles_where_it_has_one_and_else_the_general_one() {
    use crate::reason::Reason;
    let (plain, okta) = (with("", ""), with("", "    profile: okta\n"));
    let of = |loaded: &Loaded, reason| loaded.policy.hint(reason, Some(idp(loaded).id)).to_owned();
    assert_eq!(of(&plain, Reason::AmrMissing), Reason::AmrMissing.hint());
    // Okta's guide names three causes of 'access denied': each is a reason of its own, with a hint of its own.
    let causes = [
        (Reason::AmrInsufficient, "Bad policy: "),
        (Reason::AmrMalformed, "Bad claim format: "),
        (Reason::AmrMissing, "Not challenged: "),
    ];
    for (reason, begins) in causes {
        assert!(of(&okta, reason).starts_with(begins), "{reason}: {}", of(&okta, reason));
        assert_eq!(okta.policy.hint(reason, None), reason.hint(), "without an issuer there is no profile");
    }
    assert_eq!(of(&okta, Reason::Expired), Reason::Expired.hint());
    assert_eq!(idp(&okta).fingerprint, idp(&with("", "    profile: okta@1\n")).fingerprint);
}
