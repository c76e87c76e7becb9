//! The first situation of docs/situations: a portal behind RSA's service, from the posted id_token to the logout, on tokens that
//! a real provider minted in RSA's shape. The policy is the shipped example; only addresses and audiences are the test's.

use std::time::Duration;

use serde_json::Value;

use crate::situations::{Situation, hint, told};
use crate::support::Request;

/// A portal behind RSA, which keeps what the id_token of the callback proved.
fn portal() -> Situation {
    let settings = "public_url: https://portal.example\nseal: { keys: [ { env: STEPGATE_SEAL } ] }";
    Situation::with("rsa-relying-party", "rsa", "portal.example", &["--shape", "rsa"], settings)
}

/// What RSA has the browser post to the callback: written as no serializer would write it again.
fn posted(token: &str) -> Request {
    form(&format!("state=a%2fB+c&&id_token={token}&last"))
}

fn form(body: &str) -> Request {
    Request::post("/signin", body).header("Content-Type", "application/x-www-form-urlencoded")
}

/// Signs in at the callback; the cookie that comes of it.
fn kept(portal: &Situation, token: &str) -> String {
    let answer = portal.gate.send(&posted(token).host(portal.host));
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("nothing was kept\n{}", answer.head));
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn rsa_sends_amr_only_of_a_challenge_and_its_absence_is_told_from_weakness() {
    let portal = portal();
    let unchallenged = portal.provider.sign_in("ann").password().tokens();
    let (refused, line) = portal.refused(&posted(unchallenged.id()), 401, "amr_missing");
    assert!(hint(&line).contains("Access Policy") && hint(&line).contains("Rule Sets"), "{line}");
    assert_eq!(refused.challenge().get("acr_values"), None, "RSA has no acr to ask for");
    assert_eq!(refused.header("set-cookie"), None);
    // RSA lets her in once more: no third round.
    std::thread::sleep(Duration::from_millis(1_100));
    let again = portal.provider.sign_in("ann").password().tokens();
    portal.refused(&posted(again.id()), 403, "amr_missing");

    let weak = portal.provider.sign_in("bob").with("--amr", "pwd,SecurID").tokens();
    let (refused, line) = portal.refused(&posted(weak.id()), 401, "level_too_low");
    assert!(hint(&line).contains("RSA did challenge"), "{line}");
    assert_eq!((&line["amr"], refused.header("set-cookie")), (&serde_json::json!(["SecurID"]), None));

    // RSA's error is the application's to tell of, and signs nobody in.
    let error = "error=access_denied&state=a%2fB+c";
    let (answer, line) = portal.gate.decision(&form(error).host(portal.host));
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{line}");
    assert_eq!((&line["kind"], &line["subject"]), (&"error_response".into(), &Value::Null));
    assert_eq!(portal.upstream.last().body, error);
}

#[test]
fn what_rsas_id_token_proved_at_the_callback_holds_for_later_requests_until_logout() {
    let portal = portal();
    let payslip = |cookie: &str| Request::get("/payslips/2025-12").header("Cookie", &format!("own=1; {cookie}"));

    // The application gets what was posted, byte for byte, and is told what it proves.
    let code = portal.provider.sign_in("ann").with("--amr", "pwd,otp").tokens();
    assert_eq!(portal.passes(&posted(code.id())), told("multi-factor", None, Some("otp")));
    assert_eq!(portal.upstream.last().body, format!("state=a%2fB+c&&id_token={}&last", code.id()));
    let cookie = kept(&portal, code.id());
    assert_eq!(portal.passes(&payslip(&cookie)), told("multi-factor", None, Some("otp")));
    assert_eq!(portal.upstream.last().header("cookie"), Some("own=1"), "the application never sees it");
    let (refused, line) = portal.gate.decision(&Request::get("/payslips/2025-12").host(portal.host));
    assert_eq!((refused.status, &line["reason"]), (401, &"token_missing".into()), "{line}");

    // A text message lets in, and not to payslips.
    let text = portal.provider.sign_in("bob").with("--amr", "pwd,sms").tokens();
    let weak = kept(&portal, text.id());
    let read = Request::get("/news").header("Cookie", &weak);
    assert_eq!(portal.passes(&read), told("single-factor", None, Some("sms")));
    let (refused, line) = portal.refused(&payslip(&weak), 401, "level_too_low");
    assert_eq!((refused.challenge().get("max_age"), &line["kept"]), (Some("3600"), &Value::Bool(true)));
    // A browser is sent to the application's sign-in, and after a stronger one is let in.
    let (refused, _) = portal.refused(&payslip(&weak).header("Accept", "text/html"), 303, "level_too_low");
    let back = "https%3A%2F%2Fportal.example%2Fpayslips%2F2025-12";
    let expected = format!("https://portal.example/login?max_age=3600&return_to={back}");
    assert_eq!(refused.header("location"), Some(expected.as_str()));
    let stronger = portal.provider.sign_in("bob").with("--amr", "pwd,otp").tokens();
    portal.passes(&payslip(&kept(&portal, stronger.id())));

    // Too long ago, though the callback was just now.
    let old = portal.provider.sign_in("carl").with("--amr", "pwd,otp").with("--ago", "4000").tokens();
    let old = kept(&portal, old.id());
    portal.refused(&payslip(&old), 401, "auth_too_old");
    portal.passes(&Request::get("/news").header("Cookie", &old));

    // Signed out: no copy is believed again, and others stay signed in.
    let (answer, line) =
        portal.gate.decision(&Request::post("/logout", "").host(portal.host).header("Cookie", &cookie));
    assert_eq!(answer.status, 200, "{line}");
    assert!(answer.header("set-cookie").is_some_and(|set| set.starts_with("__Host-portal=; ")), "{}", answer.head);
    portal.refused(&payslip(&cookie), 401, "revoked");
    portal.passes(&Request::get("/news").header("Cookie", &old));
}
