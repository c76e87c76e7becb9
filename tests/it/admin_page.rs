//! The admin listener's page: what a person sees of a running gate, and what only who shows the credential sees.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::exceptions::moment;
use crate::shared::gate::CREDENTIAL;
use crate::support::{Request, Response, Upstream, World, eventually};

const ROUTES: &str = r#"
  - name: pay   # told to nobody
    match: { path: "/pay/**" }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
  - { name: other, match: { path: "/other/**" }, require: authenticated }
"#;

fn policy(routes: &str) -> String {
    World::issuers_and(routes)
}

fn with_exception(routes: &str) -> String {
    format!(
        "{}exceptions:\n  - name: outage\n    who: {{ issuer: bank, subjects: [ada-lovelace] }}\n    routes: [pay]\n    \
         instead: {{ level: single-factor }}\n    until: {}\n    because: \"<b>ticket 4711</b>\"\n",
        policy(routes),
        moment(5_400)
    )
}

impl World {
    /// Asks the admin listener as a browser does whose user typed this password.
    fn browses(&self, request: &Request, password: &str) -> Response {
        let pair = STANDARD.encode(format!("anybody:{password}"));
        request.clone().header("Authorization", &format!("Basic {pair}")).send(self.gate.admin_port())
    }
}

#[test]
fn a_person_sees_how_a_running_gate_is_doing_and_with_the_credential_what_it_asks() {
    let world = World::before(Upstream::start(), |setup| setup.policy(&with_exception(ROUTES)).credential());
    let front = || world.gate.admin("/").body;
    let page = front();
    for told in [
        "<h3>outage</h3>",
        "holds for <strong>1 h ",
        "&lt;b&gt;ticket 4711&lt;/b&gt;",
        ">Ready<",
        "<h3>bank</h3>",
        "<h3>shop</h3>",
    ] {
        assert!(page.contains(told), "{told} is not in {page}");
    }
    assert!(page.contains(&world.gate.in_force()) && page.contains("is in force"), "{page}");

    let routes = Request::get("/routes");
    let refused = routes.send(world.gate.admin_port());
    assert_eq!(
        (refused.status, refused.header("www-authenticate").unwrap().starts_with("Basic realm=\"stepgate\"")),
        (401, true)
    );
    assert_eq!(world.browses(&routes.clone().method("HEAD"), "credential-of-these-tesst").status, 401);
    let tried = world.gate.logged("asked on the admin listener without its credential", |_| true);
    assert_eq!(tried["method"], "HEAD", "who tries one is told of, and not that a browser asks first: {tried}");
    let page = world.browses(&routes, CREDENTIAL);
    assert_eq!(page.status, 200, "{}", page.body);
    for told in [
        "<h3>pay</h3>",
        "path /pay/**",
        "max_age 300 s",
        "all scopes of `payments`",
        "exception <strong>outage</strong>",
    ] {
        assert!(page.body.contains(told), "{told} is not in {}", page.body);
    }
    assert_eq!(world.browses(&Request::post("/reload", ""), CREDENTIAL).status, 401, "a browser changes nothing");
    for text in [&page.body, &front(), &world.gate.log()] {
        for secret in [CREDENTIAL, &STANDARD.encode(format!("anybody:{CREDENTIAL}")), "told to nobody"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    assert!(!front().contains("ada-lovelace") && !page.body.contains("ada-lovelace"));

    // What comes into force is what is shown, and what does not is told.
    world.gate.reload(&policy(&ROUTES.replace("other", "another")));
    let page = front();
    assert!(page.contains("No exception holds now.") && !page.contains("outage"), "{page}");
    assert!(page.contains(&world.gate.in_force()), "{page}");
    let listed = world.browses(&routes, CREDENTIAL).body;
    assert!(listed.contains("<h3>another</h3>") && !listed.contains("outage"), "{listed}");
    world.gate.replace("policies/0.yaml", &policy(&ROUTES.replace("multi-factor", "multi-fator")));
    world.gate.hang_up();
    eventually("the broken policy is told", Duration::from_secs(5), || front().contains("unknown level `multi-fator`"));
    assert!(front().contains("Not current:"), "{}", front());
    assert!(
        world.browses(&routes, CREDENTIAL).body.contains("<li>level multi-factor</li>"),
        "what is in force is shown"
    );
}
