//! The five situations of docs/situations, on tokens that a real provider minted in the shape of each vendor: refused, then
//! signed in otherwise, then let through. The policies are the shipped examples; only addresses and audiences are the test's.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Alg, Gate, Key, Provider, Request, Upstream, jwks};

const SEAL: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

/// A provider in a vendor's shape, and a gate with an example policy before an upstream.
pub(crate) struct Situation {
    pub(crate) provider: Provider,
    pub(crate) upstream: Upstream,
    pub(crate) gate: Gate,
    pub(crate) host: &'static str,
}

impl Situation {
    /// `ours`: the example's issuer that the provider plays, by its name there.
    fn start(example: &str, ours: &str, host: &'static str, provider: &[&str]) -> Self {
        Self::with(example, ours, host, provider, "")
    }

    /// With more in `stepgate.yaml`; `STEPGATE_SEAL` has a key.
    pub(crate) fn with(example: &str, ours: &str, host: &'static str, provider: &[&str], settings: &str) -> Self {
        let provider = Provider::start(provider);
        let upstream = Upstream::start();
        let policy = played(example, ours, &provider.issuer);
        let strangers = jwks(&[&Key::new(Alg::Es256, "nobody's")]);
        let gate = Gate::setup(&upstream).file("strangers.json", &strangers).policy(&policy).settings(settings);
        let gate = gate.environment("STEPGATE_SEAL", SEAL).start();
        gate.wait_until_ready(Duration::from_secs(20));
        Self { provider, upstream, gate, host }
    }

    /// It is refused for this reason, and the upstream hears nothing; the audit line.
    pub(crate) fn refused(
        &self,
        request: &Request,
        status: u16,
        reason: &str,
    ) -> (crate::shared::http::Response, Value) {
        let before = self.upstream.count();
        let (refused, line) = self.gate.decision(&request.clone().host(self.host));
        assert_eq!((refused.status, line["reason"].as_str()), (status, Some(reason)), "{line}");
        assert_eq!(self.upstream.count(), before);
        // What is missing of the sign-in stays with the operator; a scope is named by the challenge itself.
        let hidden = reason == "scope_missing" || !refused.body.contains(reason);
        assert!(hidden, "a stranger learns no reason: {}", refused.body);
        (refused, line)
    }

    /// It goes through; what the upstream was told.
    pub(crate) fn passes(&self, request: &Request) -> Vec<Option<String>> {
        let (answer, line) = self.gate.decision(&request.clone().host(self.host));
        assert_eq!(answer.status, 200, "{line}");
        let seen = self.upstream.last();
        ["x-stepgate-level", "x-stepgate-acr", "x-stepgate-amr"].map(|name| seen.header(name).map(str::to_owned)).into()
    }
}

pub(crate) fn told(level: &str, acr: Option<&str>, amr: Option<&str>) -> Vec<Option<String>> {
    [Some(level), acr, amr].map(|text| text.map(str::to_owned)).into()
}

/// An example with one issuer played by the provider. The others can't be asked, so their keys come from a file.
fn played(example: &str, ours: &str, issuer: &str) -> String {
    let path = format!("{}/policies/examples/{example}/policy.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut entry = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#', '-'])) {
            entry = name.trim_end_matches(':');
        }
        let key = line.trim_start();
        if key.starts_with("issuer: ") && entry == ours {
            lines.push(format!("    issuer: {issuer}"));
        } else if key.starts_with("access: { audiences") {
            lines.push("    access: { audiences: [\"https://api.demo.example\"] }".to_owned());
        } else if key.starts_with("id: { audiences") {
            lines.push("    id: { audiences: [web] }".to_owned());
        } else {
            lines.push(line.to_owned());
        }
        if key.starts_with("issuer: ") && entry != ours {
            lines.push("    keys: { jwks_file: ../strangers.json }".to_owned());
        }
    }
    lines.join("\n") + "\n"
}

pub(crate) fn hint(line: &Value) -> &str {
    line["hint"].as_str().unwrap_or_default()
}

#[test]
fn an_answer_that_entra_would_refuse_is_refused_with_its_number() {
    let arguments = ["--shape", "entra-eam", "--acr-values-supported", "possessionorinherence"];
    let rehearsal = Situation::start("entra-eam", "provider", "rp.example", &arguments);
    let post = |token: &str| Request::post("/rehearsal", "x").header("X-Id-Token", token);

    let unchallenged = rehearsal.provider.sign_in("ann").with("--amr", "pwd").tokens();
    let (refused, line) = rehearsal.refused(&post(unchallenged.id()), 401, "amr_missing");
    assert!(hint(&line).contains("AADSTS5001256"), "{line}");
    assert_eq!(refused.challenge().get("acr_values"), Some("possessionorinherence"));

    let two = rehearsal.provider.sign_in("ann").with("--amr", "pwd,otp,fpt").tokens();
    let (_, line) = rehearsal.refused(&post(two.id()), 401, "level_too_low");
    assert!(hint(&line).contains("AADSTS5001257"), "{line}");

    let one = rehearsal.provider.sign_in("ann").with("--amr", "pwd,otp").tokens();
    assert_eq!(rehearsal.passes(&post(one.id())), told("single-factor", Some("possessionorinherence"), Some("otp")));
}

#[test]
fn secureauths_attributes_are_read_where_they_stand() {
    let portal = Situation::start("secureauth", "attribute", "portal.example", &["--shape", "secureauth"]);
    let order = |token: &str| Request::post("/orders/1", "x").bearer(token);

    let password = portal.provider.sign_in("ann").with("--amr", "pwd").tokens();
    let (_, line) = portal.refused(&order(password.access()), 401, "level_too_low");
    assert_eq!(line["amr"], serde_json::json!(["pwd"]), "renamed");
    let read = Request::get("/orders/1").bearer(password.access());
    assert_eq!(portal.passes(&read), told("single-factor", None, Some("pwd")));

    let text = portal.provider.sign_in("ann").with("--amr", "pwd,sms").tokens();
    portal.refused(&order(text.access()), 401, "level_too_low");

    let app = portal.provider.sign_in("ann").with("--amr", "pwd,otp").tokens();
    assert_eq!(portal.passes(&order(app.access())), told("multi-factor", None, Some("pwd otp")));

    let silent = portal.provider.sign_in("bob").tokens();
    portal.refused(&order(silent.access()), 401, "amr_missing");
}

#[test]
fn a_brazilian_bank_takes_payments_at_loa3_or_with_a_code_for_the_consent_they_are_for() {
    let levels = "urn:brasil:openbanking:loa2 urn:brasil:openbanking:loa3";
    let arguments = ["--shape", "brasil", "--alg", "PS256", "--acr-values-supported", levels];
    let bank = Situation::start("openfinance-brasil", "bank", "api.bank.example", &arguments);
    let with = |request: Request, access: &str, id: &str| request.bearer(access).header("X-Id-Token", id);
    let pay = |consent: u8| Request::post(&format!("/open-banking/payments/v4/consents/{consent}/payment"), "x");

    let loa2 = bank.provider.sign_in("carla").by("urn:brasil:openbanking:loa2", "").in_browser("carla").tokens();
    let accounts = Request::get("/open-banking/accounts/v2/accounts");
    assert_eq!(
        bank.passes(&with(accounts.clone(), loa2.access(), loa2.id())),
        told("single-factor", Some("urn:brasil:openbanking:loa2"), None)
    );
    bank.refused(&accounts.bearer(loa2.access()), 401, "acr_missing");
    let (refused, _) = bank.refused(&with(pay(7), loa2.access(), loa2.id()), 401, "level_too_low");
    let challenge = refused.challenge();
    assert_eq!(challenge.get("acr_values"), Some("urn:brasil:openbanking:loa3"));

    let loa3 = bank
        .provider
        .sign_in("carla")
        .by("urn:brasil:openbanking:loa3", "")
        .in_browser("carla")
        .with("--acr-values", challenge.get("acr_values").unwrap())
        .with("--max-age", challenge.get("max_age").unwrap())
        .tokens();
    assert_eq!(
        bank.passes(&with(pay(7), loa3.access(), loa3.id())),
        told("multi-factor", Some("urn:brasil:openbanking:loa3"), None)
    );
    bank.refused(&with(pay(8), loa3.access(), loa3.id()), 403, "claim_mismatch");
    // The strong id_token of one person beside the access token of another.
    let other = bank.provider.sign_in("dora").by("urn:brasil:openbanking:loa2", "").tokens();
    bank.refused(&with(pay(7), other.access(), loa3.id()), 401, "tokens_disagree");

    let code = bank.provider.sign_in("carla").with("--amr", "pwd,otp").tokens();
    assert_eq!(bank.passes(&with(pay(7), code.access(), code.id())), told("multi-factor", None, Some("pwd otp")));
}

#[test]
fn an_energy_contract_is_changed_at_level_3() {
    let arguments = ["--shape", "cdr", "--alg", "PS256", "--acr-values-supported", "urn:cds.au:cdr:2 urn:cds.au:cdr:3"];
    let retailer = Situation::start("cdr-energy", "retailer", "api.energy.example", &arguments);
    let scope = "openid energy:electricity.usage:read energy:accounts.plan:write";
    let change = Request::new("PUT", "/cds-au/v1/energy/accounts/7/plan");

    let two =
        retailer.provider.sign_in("eve").by("urn:cds.au:cdr:2", "").with("--scope", scope).in_browser("eve").tokens();
    let usage = Request::get("/cds-au/v1/energy/electricity/usage");
    retailer.passes(&usage.bearer(two.access()).header("X-Id-Token", two.id()));
    let weak = change.clone().bearer(two.access()).header("X-Id-Token", two.id());
    let (refused, _) = retailer.refused(&weak, 401, "level_too_low");

    let three = retailer
        .provider
        .sign_in("eve")
        .by("urn:cds.au:cdr:3", "")
        .with("--scope", scope)
        .in_browser("eve")
        .with("--acr-values", refused.challenge().get("acr_values").unwrap())
        .tokens();
    let strong = change.bearer(three.access()).header("X-Id-Token", three.id());
    assert_eq!(retailer.passes(&strong), told("multi-factor", Some("urn:cds.au:cdr:3"), None));
}

#[test]
fn a_prescription_wants_the_card_and_results_the_phone() {
    const CLASSES: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:";
    let (card, phone) = (format!("{CLASSES}Smartcard"), format!("{CLASSES}MobileTwoFactorContract"));
    let supported = format!("{card} {phone}");
    let arguments = ["--shape", "health", "--acr-values-supported", &supported];
    let hospital = Situation::start("health", "professionals", "api.hospital.example", &arguments);
    let prescribe = |token: &str| Request::post("/prescriptions", "x").bearer(token);

    let by_phone = hospital.provider.sign_in("dr-lee").by(&phone, "").in_browser("lee").tokens();
    let (refused, _) = hospital.refused(&prescribe(by_phone.access()), 401, "acr_insufficient");
    assert_eq!(refused.challenge().get("acr_values"), Some(card.as_str()));
    let by_card = hospital
        .provider
        .sign_in("dr-lee")
        .by(&card, "")
        .in_browser("lee")
        .with("--acr-values", refused.challenge().get("acr_values").unwrap())
        .tokens();
    hospital.passes(&prescribe(by_card.access()));
    let by_amr = hospital.provider.sign_in("dr-lee").with("--amr", "smartcard").tokens();
    hospital.passes(&prescribe(by_amr.access()));

    let patients = Situation::start("health", "patients", "api.hospital.example", &arguments);
    let results = |token: &str| Request::get("/results/p-1").bearer(token);
    let by_card = patients.provider.sign_in("p-1").by(&card, "").in_browser("p-1").tokens();
    let (refused, _) = patients.refused(&results(by_card.access()), 401, "level_too_low");
    assert_eq!(refused.challenge().get("acr_values"), Some(phone.as_str()));
    let by_phone =
        patients.provider.sign_in("p-1").by(&phone, "").in_browser("p-1").with("--acr-values", &phone).tokens();
    patients.passes(&results(by_phone.access()));
    let another = patients.provider.sign_in("p-2").by(&phone, "").tokens();
    patients.refused(&results(another.access()), 403, "claim_mismatch");
}

#[test]
fn kobils_password_and_email_is_two_factors_by_its_word_and_one_by_nists_reading() {
    let arguments = ["--shape", "kobil", "--acr-values-supported", "1 2 3"];
    let scope = "openid transfer";
    let transfer = |token: &str| Request::post("/transfers", "x").bearer(token);
    let bank = Situation::start("kobil", "kobil", "api.bank.example", &arguments);

    let password = bank.provider.sign_in("uli").with("--amr", "pwd").with("--scope", scope).in_browser("uli").tokens();
    let (refused, line) = bank.refused(&transfer(password.access()), 401, "level_too_low");
    assert_eq!(line["acr"], serde_json::json!(["1"]));
    let challenge = refused.challenge();
    assert_eq!(challenge.get("acr_values"), Some("2"));
    let email = |situation: &Situation| {
        let sign_in = situation.provider.sign_in("uli").by("2", "pwd,email").with("--scope", scope);
        sign_in.with("--acr-values", "2").in_browser("uli").tokens()
    };
    assert_eq!(bank.passes(&transfer(email(&bank).access())), told("multi-factor", Some("2"), Some("mfa mvk pwd")));

    let derived = Situation::start("kobil-derived", "kobil", "api.bank.example", &arguments);
    let by_email = email(&derived);
    let (refused, line) = derived.refused(&transfer(by_email.access()), 401, "level_too_low");
    assert_eq!((&line["level"], refused.challenge().get("acr_values")), (&"single-factor".into(), Some("3")));
    derived.passes(&Request::get("/balance/1").bearer(by_email.access()));
    let finger = derived.provider.sign_in("uli").by("3", "pwd,fpt").with("--scope", scope).with("--acr-values", "3");
    let finger = finger.in_browser("uli").tokens();
    assert_eq!(derived.passes(&transfer(finger.access())), told("multi-factor", Some("3"), Some("mfa mvk pwd fpt")));
}

#[test]
fn oktas_access_tokens_are_read_in_its_own_shape_and_stepped_up_by_its_own_values() {
    let levels = "urn:okta:loa:1fa:any urn:okta:loa:2fa:any phr phrh";
    let arguments = ["--shape", "okta", "--acr-values-supported", levels];
    let hr = Situation::start("okta", "workforce", "hr.example.com", &arguments);
    let scope = "openid hr.read hr.write hr.admin";
    let account = |token: &str| Request::new("PUT", "/me/bank-account").bearer(token);

    let one =
        hr.provider.sign_in("ann").by("urn:okta:loa:1fa:any", "pwd").with("--scope", scope).in_browser("ann").tokens();
    let (refused, line) = hr.refused(&account(one.access()), 401, "level_too_low");
    assert!(hint(&line).contains("Not challenged enough"), "{line}");
    assert_eq!(line["client"], "web", "from cid");
    let challenge = refused.challenge();
    assert_eq!(challenge.get("acr_values"), Some("urn:okta:loa:2fa:any"));
    let two = hr
        .provider
        .sign_in("ann")
        .by("urn:okta:loa:2fa:any", "pwd,okta_verify,otp")
        .with("--scope", scope)
        .with("--acr-values", challenge.get("acr_values").unwrap())
        .in_browser("ann")
        .tokens();
    let told_so = told("multi-factor", Some("urn:okta:loa:2fa:any"), Some("pwd okta_verify otp mfa"));
    assert_eq!(hr.passes(&account(two.access())), told_so);
    // The floor of the administration wants more, and names it.
    let admin = Request::get("/admin/people").bearer(two.access());
    let (refused, _) = hr.refused(&admin, 401, "level_too_low");
    assert_eq!(refused.challenge().get("acr_values"), Some("phr"));
    let passkey = hr.provider.sign_in("ann").by("phr", "pwd,pop").with("--scope", scope).tokens();
    hr.passes(&Request::get("/admin/people").bearer(passkey.access()));
    // Scopes are those of `scp`.
    let narrow = hr.provider.sign_in("ann").by("phr", "pwd,pop").with("--scope", "openid hr.read").tokens();
    hr.refused(&account(narrow.access()), 403, "scope_missing");
}

#[test]
fn oktas_three_causes_of_access_denied_are_three_reasons_with_three_hints() {
    let vault = |token: &str| Request::get("/vault").header("X-Id-Token", token);
    let org = Situation::start("okta-amr", "okta", "vault.example", &["--shape", "okta"]);

    let silent = org.provider.sign_in("ann").tokens();
    let (_, line) = org.refused(&vault(silent.id()), 401, "amr_missing");
    assert!(hint(&line).starts_with("Not challenged:"), "{line}");

    let push = org.provider.sign_in("ann").with("--amr", "okta_verify,swk").tokens();
    let keys = Request::get("/keys").header("X-Id-Token", push.id());
    let (_, line) = org.refused(&keys, 401, "amr_insufficient");
    assert!(hint(&line).starts_with("Bad policy:"), "{line}");

    let text = Situation::start("okta-amr", "okta", "vault.example", &["--shape", "okta-text"]);
    let malformed = text.provider.sign_in("ann").with("--amr", "sms,mfa,pwd").tokens();
    let (_, line) = text.refused(&vault(malformed.id()), 401, "amr_malformed");
    assert!(hint(&line).starts_with("Bad claim format:"), "{line}");

    // As in Okta's guide, and then the switch.
    let sample = org.provider.sign_in("ann").with("--amr", "sms,pwd").tokens();
    assert_eq!(org.passes(&vault(sample.id()))[2].as_deref(), Some("sms pwd mfa"));
    let hub = Situation::start("okta-amr", "hub", "vault.example", &["--shape", "okta"]);
    let not_trusted = hub.provider.sign_in("ann").with("--amr", "sms,pwd").tokens();
    hub.refused(&vault(not_trusted.id()), 401, "amr_missing");
}
