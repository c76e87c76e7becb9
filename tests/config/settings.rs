//! `stepgate.yaml`: the pages that tell of it are true, and `check --config` looks at the files that it names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stepgate::config::stepgate::SECTIONS;
use stepgate::config::{LoadedSettings, SourceFile, load_settings};

use super::{POLICY, SETTINGS, folder, within};

const PAGE: &str = include_str!("../../docs/settings.md");
const SHIPPED: &str = include_str!("../../deploy/stepgate.yaml");

fn load(text: &str) -> LoadedSettings {
    let file = SourceFile { name: "stepgate.yaml".into(), folder: "gate".into(), text: text.to_owned() };
    load_settings(file).unwrap_or_else(|rejected| panic!("{}\n{text}", rejected.lines().join("\n")))
}

/// The tables of the page: the place that each is about, and its rows, each cell without the spaces around it.
fn tables() -> Vec<(String, Vec<Vec<String>>)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections
        .map(|section| {
            let place = section.lines().next().unwrap().trim_matches('`');
            let rows = section.lines().filter(|line| line.starts_with("| `"));
            let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            (place.to_owned(), rows.map(cells).collect())
        })
        .collect()
}

#[test]
fn the_page_of_settings_names_every_key_that_is_read_and_no_other() {
    let written: Vec<(String, Vec<String>)> = tables()
        .into_iter()
        .map(|(place, rows)| (place, rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect()))
        .collect();
    let read: Vec<(String, Vec<String>)> = SECTIONS
        .iter()
        .map(|(place, keys)| {
            let place = if place.is_empty() { "The file" } else { place };
            (place.to_owned(), keys.known.iter().chain(keys.later).map(|key| (*key).to_owned()).collect())
        })
        .collect();
    let sorted = |tables: &[(String, Vec<String>)]| {
        let mut tables = tables.to_vec();
        tables.iter_mut().for_each(|(_, keys)| keys.sort());
        tables.sort();
        tables
    };
    assert_eq!(sorted(&written), sorted(&read));
    for ((_, keys), (place, rows)) in SECTIONS.iter().zip(tables()) {
        for row in rows {
            let key = row[0].trim_matches('`').to_owned();
            assert_eq!(row.len(), 4, "{place}: {key}");
            let later = keys.later.contains(&key.as_str()) || key == "otlp";
            assert_eq!(row[1].starts_with("later:"), later, "{place}: {key}");
        }
    }
}

/// A file in which each mapping that the page tells of is there, with a mark where it may have more keys.
const MARKED: &str = r#"version: 1
<The file>
listeners:
  - address: "127.0.0.1:8443"
    tls: { cert: a.pem, key: a.key }
    client_auth: { ca: b.pem<listeners[].client_auth> }
    <listeners[]>
upstreams: { app: { url: "https://app.internal", health: { path: /up<upstreams.NAME.health> }<upstreams.NAME> } }
identity: { <identity> }
keys: { <keys> }
audit: { to: file, path: audit.jsonl, rotate: { size: 1MiB<audit.rotate> }<audit> }
telemetry: { <telemetry> }
limits: { <limits> }
"#;

#[test]
fn every_default_on_the_page_is_what_leaving_the_key_out_means() {
    let unmarked = |text: &str| {
        let mut text = text.to_owned();
        for (place, _) in tables() {
            text = text.replace(&format!("<{place}>"), "");
        }
        text.replace("{ ,", "{")
    };
    let base = load(&unmarked(MARKED)).settings;
    let mut held = 0;
    for (place, rows) in tables() {
        for row in rows {
            let (key, default) = (row[0].trim_matches('`'), row[2].trim_matches('`'));
            // Its default is told in words, or is that of another key, or it stands in the file already.
            if !row[2].starts_with('`') || default.contains('.') || (place.as_str(), key) == ("audit", "to") {
                continue;
            }
            let block = place == "The file" || place == "listeners[]";
            let pair = if block { format!("{key}: {default}") } else { format!(", {key}: {default}") };
            let text = unmarked(&MARKED.replace(&format!("<{place}>"), &pair));
            assert!(text.contains(&format!("{key}: {default}")), "no mark for {place}");
            assert_eq!(load(&text).settings, base, "{place}: {key}");
            held += 1;
        }
    }
    assert!(held > 25, "{held} defaults were looked at");
}

#[test]
fn the_shipped_settings_are_the_defaults_and_show_every_key() {
    let LoadedSettings { mut settings, lints, .. } = load(SHIPPED);
    assert_eq!(lints, []);
    let mut least = load(SETTINGS).settings;
    assert!(settings.public_url.take().is_some() && settings.admin.take().is_some());
    (settings.upstreams, settings.policies) = (least.upstreams.clone(), least.policies.clone());
    least.policies.clone_from(&settings.policies);
    assert_eq!(settings, least);
    for (place, keys) in SECTIONS {
        // `urls` is `url` in another form.
        for key in keys.known.iter().filter(|key| !["urls", "otlp"].contains(key)) {
            assert!(SHIPPED.contains(&format!("{key}:")), "{place}: {key}");
        }
    }
}

#[test]
fn what_is_switched_off_in_the_shipped_settings_can_be_switched_on() {
    let on = |line: &str| match line.split_once('#') {
        Some((before, after)) if before.trim().is_empty() && !after.starts_with(' ') => format!("{before}{after}\n"),
        _ => format!("{line}\n"),
    };
    let whole: String = SHIPPED.lines().map(on).collect::<String>().replace("to: stdout", "to: file");
    let LoadedSettings { settings, lints, files, .. } = load(&whole);
    assert_eq!(lints, []);
    let listener = &settings.listeners[0];
    assert!(listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some()) && listener.trusted_peers.len() == 2);
    assert_eq!((settings.upstreams.len(), files.len()), (4, 8));
    assert!(settings.upstreams[2].http2 && settings.admin.unwrap().credential.is_some());
    assert!(settings.audit.rotate.is_some());
}

/// Settings that name every kind of file, and those files.
fn with_files() -> tempfile::TempDir {
    let settings = "version: 1
listeners:
  - address: 127.0.0.1:8443
    tls: { cert: server.pem, key: server.key }
    client_auth: { ca: ca.pem }
upstreams:
  app: { url: \"https://app.internal\", tls: { ca: ca.pem, cert: us.pem, key: us.key } }
  local: { url: \"unix:run/app.sock\" }
admin: { address: 127.0.0.1:9901, credential: { file: admin.txt } }
keys: { cache_dir: keys }
audit: { to: file, path: audit.jsonl }
";
    let policy = POLICY.replace("require: public", "require: public, upstream: app");
    let there =
        folder(&[("stepgate.yaml", settings), ("policies/a.yaml", &policy), ("admin.txt", "hunter2hunter2hunter2\n")]);
    for name in ["server", "us", "ca"] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(there.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(there.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    for private in ["server.key", "us.key", "admin.txt"] {
        mode(&there.path().join(private), 0o600);
    }
    for folder in ["keys", "run"] {
        fs::create_dir(there.path().join(folder)).unwrap();
    }
    mode(&there.path().join("keys"), 0o700);
    there
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_that_settings_name_and_that_are_sound_are_passed_over_in_silence() {
    let there = with_files();
    let (code, out, err) = within(&there, &["check", "-c", "stepgate.yaml"]);
    assert_eq!((code, out.as_str()), (Some(0), "1 policy checked: 0 errors, 0 lints\n"), "{err}");
    assert_eq!(fs::read_dir(there.path().join("keys")).unwrap().count(), 0, "nothing is made");
    // Both are made by others, later.
    fs::remove_dir(there.path().join("keys")).unwrap();
    let _bound = std::os::unix::net::UnixListener::bind(there.path().join("run/app.sock")).unwrap();
    let (_, out, _) = within(&there, &["check", "-c", "stepgate.yaml"]);
    assert_eq!(out, "1 policy checked: 0 errors, 0 lints\n");
}

#[test]
fn a_file_that_settings_name_and_that_is_not_there_is_a_lint_at_its_place() {
    for (file, place, says) in [
        ("server.pem", "4:18", "failed to open the certificate `server.pem`"),
        ("server.key", "4:35", "failed to open the private key `server.key`"),
        ("ca.pem", "5:24", "failed to open the certificate authority's file `ca.pem`"),
        ("us.pem", "7:64", "failed to open the certificate `us.pem`"),
        ("us.key", "7:77", "failed to open the private key `us.key`"),
        ("admin.txt", "9:55", "failed to open the secret's file `admin.txt`"),
    ] {
        let there = with_files();
        fs::remove_file(there.path().join(file)).unwrap();
        let (code, out, _) = within(&there, &["check", "-c", "stepgate.yaml"]);
        let out = out.replace("`./", "`").replace("--> ./", "--> ");
        assert!(out.contains(says) && out.contains(&format!("stepgate.yaml:{place}\n")), "{file}: {out}");
        assert!(out.contains("warning[file_not_usable]") && code == Some(0), "{file}: {out}");
    }
}

#[test]
fn a_file_that_settings_name_and_that_is_something_else_is_said_at_its_place() {
    let here = |there: &tempfile::TempDir, name: &str| there.path().join(name);
    let old = |there: &tempfile::TempDir| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (wanted.not_before, wanted.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        fs::write(here(there, "server.pem"), wanted.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(here(there, "server.key"), key.serialize_pem()).unwrap();
    };
    type Harm<'h> = &'h dyn Fn(&tempfile::TempDir);
    let harms: [(Harm<'_>, &str, &str, i32); 15] = [
        (&|there| drop(fs::copy(here(there, "us.key"), here(there, "server.key"))), "4:35", "do not go together", 1),
        (&|there| drop(fs::copy(here(there, "server.key"), here(there, "us.key"))), "7:77", "do not go together", 1),
        (
            &|there| fs::write(here(there, "server.pem"), "hunter2").unwrap(),
            "4:18",
            "there is no certificate in PEM",
            1,
        ),
        (
            &|there| fs::write(here(there, "server.key"), "hunter2").unwrap(),
            "4:35",
            "there is no private key in PEM",
            1,
        ),
        (&|there| fs::write(here(there, "ca.pem"), "hunter2").unwrap(), "5:24", "it holds no certificate", 1),
        (&|there| fs::write(here(there, "ca.pem"), "hunter2").unwrap(), "7:50", "it holds no certificate", 1),
        (&|there| fs::write(here(there, "admin.txt"), " \n").unwrap(), "9:55", "there is no secret in", 1),
        (&|there| fs::write(here(there, "admin.txt"), "hunter2\n").unwrap(), "9:55", "shorter than 16 bytes", 1),
        (&|there| mode(&here(there, "server.key"), 0o644), "4:35", "can be read by every user", 0),
        (&|there| mode(&here(there, "us.key"), 0o644), "7:77", "can be read by every user", 0),
        (&|there| mode(&here(there, "admin.txt"), 0o604), "9:55", "can be read by every user", 0),
        (&|there| mode(&here(there, "keys"), 0o777), "10:20", "can be written to by every user", 0),
        (&|there| fs::write(here(there, "run/app.sock"), "").unwrap(), "8:17", "it is no socket", 0),
        (&|there| fs::create_dir(here(there, "audit.jsonl")).unwrap(), "11:26", "failed to open the audit log", 0),
        (&old, "4:18", "cannot be used today: it expired", 0),
    ];
    for (harm, place, says, exit) in harms {
        let there = with_files();
        harm(&there);
        let (code, out, _) = within(&there, &["check", "-c", "stepgate.yaml"]);
        assert!(out.contains(says) && out.contains(&format!("stepgate.yaml:{place}\n")), "{says}: {out}");
        assert!(!out.contains("hunter2") && code == Some(exit), "{says}: {out}");
    }
    let there = with_files();
    fs::remove_dir(here(&there, "keys")).unwrap();
    fs::write(here(&there, "keys"), "").unwrap();
    let (_, out, _) = within(&there, &["check", "-c", "stepgate.yaml"]);
    assert!(out.contains("failed to open the folder for keys"), "{out}");
}

#[test]
fn policies_that_run_would_not_find_where_the_settings_say_are_no_clean_check() {
    let settings = |policies: &str| format!("{SETTINGS}policies: {policies}\n");
    for (policies, says) in [
        ("policies/a.yaml", "names, is no folder"),
        ("policies", "names: it holds no file that ends in .yaml or .yml, and `run` reads no subfolders"),
    ] {
        let below = if policies == "policies" { "policies/below/a.yaml" } else { "policies/a.yaml" };
        let there = folder(&[("stepgate.yaml", &settings(policies)), (below, POLICY)]);
        let (checked, _, why) = within(&there, &["check", "-c", "stepgate.yaml"]);
        assert!(why.contains(says) && checked == Some(2), "{checked:?} {why}");
        let (run, ..) = within(&there, &["run", "-c", "stepgate.yaml"]);
        assert_eq!(run, Some(2), "{policies}");
    }
    let there = folder(&[("stepgate.yaml", &settings("policies")), ("policies/below/a.yaml", POLICY)]);
    let (code, ..) = within(&there, &["check", "-c", "stepgate.yaml", "policies"]);
    assert_eq!(code, Some(0), "whoever names a folder has it searched");
}

#[test]
fn a_pipe_among_policies_holds_nothing_up() {
    let there = folder(&[("stepgate.yaml", SETTINGS), ("policies/a.yaml", POLICY)]);
    let pipe = there.path().join("policies/b.yaml");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    for command in ["check", "run"] {
        let (code, _, why) = within(&there, &[command, "-c", "stepgate.yaml"]);
        assert!(why.contains("policies/b.yaml`: it is no plain file") && code == Some(2), "{command}: {why}");
    }
}
