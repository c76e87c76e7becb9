//! Another policy while the gate runs: however its files are changed it is taken whole; a broken one is not, and is told.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Request, Token, World, eventually};

/// What is promised: from the change to its being in force.
const SOON: Duration = Duration::from_secs(5);

const PUBLIC: &str = r"  - { name: door, match: { path: /door }, require: public }";
const SHUT: &str = r"  - { name: door, match: { path: /door }, require: authenticated }";

fn open() -> String {
    World::issuers_and(PUBLIC)
}

fn shut() -> String {
    World::issuers_and(SHUT)
}

/// A gate whose door is shut.
fn world() -> World {
    World::with_policy(&shut())
}

impl World {
    fn door(&self) -> u16 {
        self.gate.send(&Request::get("/door")).status
    }

    /// Makes a change, which must decide otherwise than before within the time that is promised.
    fn turns(&self, status: u16, what: &str, change: impl FnOnce()) {
        assert_ne!(self.door(), status, "{what}: nothing would be seen");
        change();
        eventually(what, SOON, || self.door() == status);
    }

    fn refused(&self) -> f64 {
        self.gate.metric(r#"stepgate_policy_reloads_total{outcome="refused"}"#)
    }

    /// Waits for content to be refused, and gives what is said of it.
    fn refusal(&self) -> Value {
        let mut told = Value::Null;
        eventually("the content is refused", SOON, || {
            told = self.gate.reloads()["refused"].clone();
            !told.is_null()
        });
        told
    }
}

#[test]
fn a_change_of_the_folder_is_in_force_soon_however_it_is_made() {
    let world = world();
    let policy = world.gate.file("policies/0.yaml");
    let more = world.gate.file("policies/1.yaml");
    let issuers = World::issuers_and("").replace("routes:\n", "");
    world.turns(200, "written in place", || fs::write(&policy, open()).unwrap());
    world.turns(401, "saved by an editor, which renames", || world.gate.replace("policies/0.yaml", &shut()));
    world.turns(200, "split into two files", || {
        fs::write(&more, format!("version: 1\nroutes:\n{PUBLIC}\n")).unwrap();
        fs::write(&policy, &issuers).unwrap();
    });
    world.turns(403, "a file deleted", || fs::remove_file(&more).unwrap());
    world.turns(200, "a file added", || fs::write(&more, format!("version: 1\nroutes:\n{PUBLIC}\n")).unwrap());
    assert_eq!(world.refused(), 0.0, "{}", world.gate.log());
    assert_eq!(world.gate.metric("stepgate_policy_current"), 1.0);
    let taken = world.gate.metric(r#"stepgate_policy_reloads_total{outcome="taken"}"#);
    assert!((5.0..=6.0).contains(&taken), "each change is taken once: {taken}\n{}", world.gate.log());
}

#[test]
fn a_file_that_is_still_being_written_is_waited_for() {
    let world = world();
    let policy = world.gate.file("policies/0.yaml");
    let text = open();
    for _ in 0..5 {
        let refused = world.refused();
        // Pieces that each change the file before it has held still; any of them alone is broken.
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        for piece in 1..=16 {
            fs::write(&policy, &text[..text.len() * piece / 16 - 7]).unwrap();
            sleep(Duration::from_millis(100));
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        fs::write(&policy, &text).unwrap();
        eventually("the whole file is in force", SOON, || world.door() == 200);
        // A machine that is busy elsewhere may have stopped the writing for long enough.
        if longest < Duration::from_millis(350) {
            assert_eq!(world.refused(), refused, "{}", world.gate.log());
            return;
        }
        world.gate.reload(&shut());
    }
    panic!("the machine was never quiet enough to write sixteen pieces in time");
}

#[test]
fn a_config_map_is_taken_when_kubernetes_swaps_its_link() {
    let world = world();
    let folder = world.gate.file("policies");
    let mount = |version: &str, text: &str| {
        let place = folder.join(version);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("0.yaml"), text).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    // As the kubelet mounts it: each file is a link through `..data` to the folder of the newest version.
    mount("..2026_01_01", &shut());
    symlink("..data/0.yaml", folder.join("link")).unwrap();
    fs::rename(folder.join("link"), folder.join("0.yaml")).unwrap();
    for (status, version, text) in [(200, "..2026_01_02", open()), (401, "..2026_01_03", shut())] {
        world.turns(status, "the link is swapped", || {
            let old = fs::read_link(folder.join("..data")).unwrap();
            mount(version, &text);
            fs::remove_dir_all(folder.join(old)).unwrap();
        });
    }
    assert_eq!(world.refused(), 0.0, "{}", world.gate.log());
}

#[test]
fn a_broken_policy_leaves_the_old_one_in_force_and_is_told_until_it_is_mended() {
    let world = world();
    let (gate, good) = (&world.gate, world.gate.in_force());
    gate.replace("policies/0.yaml", &World::issuers_and(&PUBLIC.replace("public", "{ level: no-such-level }")));
    let told = world.refusal();

    let diagnostics = told["diagnostics"].as_str().unwrap();
    assert!(diagnostics.contains("unknown level `no-such-level`") && diagnostics.contains("0.yaml:"), "{diagnostics}");
    let check = Command::new(env!("CARGO_BIN_EXE_stepgate")).arg("check").arg(gate.file("policies")).output().unwrap();
    let check = String::from_utf8(check.stdout).unwrap();
    assert!(check.contains(diagnostics), "as `check` shows it:\n{check}\n---\n{diagnostics}");
    let state = gate.reloads();
    assert_eq!((&state["current"], &state["in_force"]["policy"]), (&Value::Bool(false), &Value::from(good.clone())));
    assert!(!gate.admin("/readyz").body.contains("no-such-level"), "the short answer stays short");
    assert!(gate.is_ready(), "the old policy works");
    assert_eq!(gate.metric("stepgate_policy_current"), 0.0);
    assert_eq!(world.refused(), 1.0);

    let (response, decision) = gate.decision(&Request::get("/door"));
    assert_eq!((response.status, decision["policy"].as_str()), (401, Some(&*good)));

    // Some looks later it has been said once, and as one line at the level that wakes somebody.
    sleep(Duration::from_millis(2500));
    let said = |what: &str| gate.log().lines().filter(|line| line.contains(what)).count();
    assert_eq!((said("no-such-level"), world.refused()), (1, 1.0), "{}", gate.log());
    let line = gate.logged("is refused", |_| true);
    assert_eq!((line["level"].as_str(), line["diagnostics"].as_str()), (Some("ERROR"), Some(diagnostics)));
    assert!(!diagnostics.contains('\u{1b}'), "no colours");
    gate.hang_up();
    eventually("who asks is answered", SOON, || said("is refused as before") == 1);
    assert_eq!(said("no-such-level"), 1, "{}", gate.log());
    assert_eq!(gate.reloads()["refused"]["at"], told["at"], "since when");

    world.turns(200, "mended", || gate.replace("policies/0.yaml", &open()));
    let state = gate.reloads();
    assert_eq!((&state["current"], &state["refused"]), (&Value::Bool(true), &Value::Null));
    assert_ne!(state["in_force"]["policy"], *good);
    assert_eq!(gate.metric("stepgate_policy_current"), 1.0);
    let line = gate.logged("another policy is in force", |_| true);
    assert_eq!((&line["old"], &line["new"]), (&Value::from(good), &state["in_force"]["policy"]));
    assert_eq!((&line["routes_changed"], &line["routes_added"]), (&Value::from(1), &Value::from(0)));
}

#[test]
fn what_was_broken_and_is_put_back_is_the_policy_in_force() {
    let world = world();
    let (good, since) = (world.gate.in_force(), world.gate.reloads()["in_force"]["since"].clone());
    fs::write(world.gate.file("policies/0.yaml"), "version: 1\nroutes: [").unwrap();
    world.refusal();
    fs::write(world.gate.file("policies/0.yaml"), shut()).unwrap();
    eventually("put back", SOON, || world.gate.metric("stepgate_policy_current") == 1.0);
    let state = world.gate.reloads();
    assert_eq!((&state["in_force"]["policy"], &state["in_force"]["since"]), (&Value::from(good), &since));
    assert_eq!(world.gate.metric(r#"stepgate_policy_reloads_total{outcome="unchanged"}"#), 1.0);
    assert_eq!(world.gate.metric(r#"stepgate_policy_reloads_total{outcome="taken"}"#), 0.0);
}

#[test]
fn a_policy_that_is_gone_is_a_broken_one() {
    let world = world();
    let (folder, away) = (world.gate.file("policies"), world.gate.file("away"));
    fs::remove_file(folder.join("0.yaml")).unwrap();
    let told = world.refusal();
    assert!(told["diagnostics"].as_str().unwrap().contains("no policy in `"), "{told}");
    fs::rename(&folder, &away).unwrap();
    eventually("the folder is gone too", SOON, || {
        world.gate.reloads()["refused"]["diagnostics"].as_str().unwrap().contains("failed to read `")
    });
    assert_eq!(world.door(), 401, "what is gone lets nobody in");
    fs::write(away.join("0.yaml"), open()).unwrap();
    world.turns(200, "it is back", || fs::rename(&away, &folder).unwrap());
}

#[test]
fn a_policy_that_does_not_fit_the_settings_is_a_broken_one() {
    let world = world();
    world.gate.replace(
        "policies/0.yaml",
        &World::issuers_and(&PUBLIC.replace("require: public", "require: public, upstream: ledger")),
    );
    world.gate.hang_up();
    let told = world.refusal();
    assert!(told["diagnostics"].as_str().unwrap().contains("unknown upstream `ledger`"), "{told}");
    assert_eq!(world.door(), 401);
}

#[test]
fn a_signal_has_a_policy_taken_at_once_and_says_so() {
    let world = world();
    let mut fastest = Duration::MAX;
    for (status, text) in [(200, open()), (401, shut()), (200, open()), (401, shut())] {
        world.gate.replace("policies/0.yaml", &text);
        let asked = Instant::now();
        world.gate.hang_up();
        eventually("it is in force", SOON, || world.door() == status);
        fastest = fastest.min(asked.elapsed());
    }
    assert!(fastest < Duration::from_millis(450), "without waiting for the content to hold still: {fastest:?}");
    eventually("each is said", SOON, || {
        world.gate.log().lines().filter(|line| line.contains(r#""signal":"SIGHUP""#)).count() == 4
    });
    world.gate.hang_up();
    eventually("nothing changed, and that is said", SOON, || world.gate.log().contains("nothing changes"));
}

#[test]
fn what_is_odd_about_a_policy_that_is_taken_is_said() {
    let world = world();
    world.turns(200, "a policy with a floor under nothing", || {
        let floor = "floors: [ { name: f, match: { path: /nothing/** }, require: authenticated } ]\nroutes:\n";
        world.gate.replace("policies/0.yaml", &open().replace("routes:\n", floor));
    });
    eventually("the lint is logged", SOON, || world.gate.log().contains("no route lies on the floor `f`"));
}

#[test]
fn log_rotation_moves_the_audit_log_away_and_asks_for_a_new_one() {
    let world = world();
    let gate = &world.gate;
    for _ in 0..3 {
        gate.decision(&Request::get("/door"));
        let before = gate.audit().len();
        fs::rename(gate.file("audit.jsonl"), gate.file("audit.jsonl.1")).unwrap();
        let said = |log: String| log.lines().filter(|line| line.contains(r#""signal":"SIGHUP""#)).count();
        let hung_up = said(gate.log());
        gate.hang_up();
        eventually("the signal is heard", SOON, || said(gate.log()) > hung_up);
        let (_, decision) = gate.decision(&Request::get("/door").bearer(&Token::access().sign(&world.bank)));
        assert_eq!(decision["decision"], "allow");
        let moved = fs::read_to_string(gate.file("audit.jsonl.1")).unwrap();
        assert_eq!(moved.lines().count(), before, "nothing more is written to what was moved");
        assert_eq!(gate.audit().len(), 1, "and nothing is lost");
    }
}
