//! The schemas say what the loader does: the same keys, the same words, the same defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::assurance::Ladders;
use crate::config::policy::load_policy;
use crate::config::profile;
use crate::config::source::SourceFile;
use crate::config::stepgate::load_settings;
use crate::reason::Reason;
use crate::token::Algorithm;

fn schema(name: &str) -> Value {
    serde_json::from_str(Schema::named(name).unwrap().text).unwrap()
}

/// Every schema within a schema, with its pointer.
fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let mut all = vec![(String::new(), schema)];
    let mut next = 0;
    while let Some((pointer, part)) = all.get(next).cloned() {
        next = next.saturating_add(1);
        let inner: Vec<(String, &Value)> = match part {
            Value::Object(members) => members.iter().map(|(name, part)| (format!("{pointer}/{name}"), part)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(place, part)| (format!("{pointer}/{place}"), part)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        all.extend(inner.into_iter().filter(|(pointer, _)| !is_data(pointer)));
    }
    all
}

/// Whether what stands there is a value and not a schema.
fn is_data(pointer: &str) -> bool {
    let mut steps = pointer.rsplit('/');
    let (last, around) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    matches!(last, "examples" | "default" | "enum" | "const") && around != "properties"
}

type Keys = BTreeSet<BTreeSet<String>>;

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| if path.is_dir() { source_files(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The texts in quotes within the first `[…]` of some source text.
fn quoted_list(text: &str) -> BTreeSet<String> {
    let inside = text.split_once('[').unwrap().1.split_once(']').unwrap().0;
    inside.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the loader calls each kind of mapping, with the keys that it may have: every list of known keys that its source
/// text has, so that none can be forgotten.
fn keys_of_the_loader() -> BTreeMap<String, Keys> {
    let mut found: BTreeMap<String, Keys> = BTreeMap::new();
    for path in source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config")) {
        if path.ends_with("schema/tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for after in text
            .split("Keys {")
            .chain(text.split("KeyList {"))
            .filter(|after| after.trim_start().starts_with("what: \""))
        {
            let what = after.split('"').nth(1).unwrap();
            let known = after.split_once("known: ").unwrap().1;
            let keys = if known.starts_with("&[") {
                quoted_list(known)
            } else {
                let name = known.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                let list = text.split_once(&format!("const {name}: &[&str] =")).unwrap().1;
                quoted_list(list)
            };
            found.entry(what.to_owned()).or_default().insert(keys);
        }
    }
    found
}

#[test]
fn every_mapping_of_the_loader_has_the_same_keys_in_a_schema() {
    let mut described: BTreeMap<String, Keys> = BTreeMap::new();
    for name in ["policy", "config", "test"] {
        let schema = schema(name);
        for (pointer, part) in parts(&schema).into_iter().filter(|(_, part)| part["additionalProperties"] == false) {
            let title = part["title"].as_str().unwrap_or_else(|| panic!("{name}{pointer} has no title"));
            let keys = part["properties"].as_object().unwrap().keys().cloned().collect();
            described.entry(title.to_owned()).or_default().insert(keys);
        }
    }
    let mut loader = keys_of_the_loader();
    assert!(loader.len() > 30, "{loader:?}");
    // A mapping without any key of this version is described only where it is taken at all.
    loader.retain(|what, keys| described.contains_key(what) || keys.iter().any(|keys| !keys.is_empty()));
    for (what, keys) in &loader {
        assert_eq!(described.get(what), Some(keys), "{what}");
    }
    assert_eq!(described, loader);
}

#[test]
fn every_word_that_the_loader_knows_stands_in_its_schema() {
    let reasons: Vec<String> = Reason::ALL.iter().map(|reason| reason.code().to_owned()).collect();
    let algorithms = Algorithm::ALL.iter().map(|algorithm| algorithm.name().to_owned()).collect();
    let levels: Vec<String> = Ladders::DEFAULT.iter().map(|name| (*name).to_owned()).collect();
    let profiles = profile::ALL.iter().flat_map(|profile| {
        let version = profile.head().unwrap().version;
        [profile.name().to_owned(), format!("{}@{version}", profile.name())]
    });
    for (name, pointer, words) in [
        ("policy", "/$defs/algorithm/enum", algorithms),
        ("policy", "/$defs/default_level/enum", levels.clone()),
        ("policy", "/properties/levels/default", levels),
        ("policy", "/$defs/shipped_profile/enum", profiles.collect()),
        ("test", "/$defs/reason/enum", reasons.clone()),
        ("policy", "/$defs/reason/enum", reasons.clone()),
        ("audit", "/$defs/reason/enum", reasons),
    ] {
        assert_eq!(schema(name).pointer(pointer), Some(&words.into()), "{name}{pointer}");
    }
}

#[test]
fn every_property_says_what_it_is() {
    for one in ALL {
        let schema = schema(one.name);
        let all = parts(&schema);
        let told = |part: &Value| {
            let referred = part["$ref"].as_str().and_then(|path| schema.pointer(path.trim_start_matches('#')));
            [Some(part), referred].into_iter().flatten().find_map(|part| part["description"].as_str()).map(str::len)
        };
        let mut properties = 0;
        for (pointer, part) in all.iter().filter(|(pointer, part)| is_property(pointer) && part.is_object()) {
            // Conditions and what a profile narrows repeat properties that are described where they are defined.
            if ["/if/", "/then/", "/else/", "/$defs/profile/properties/issuer/properties/"]
                .iter()
                .any(|place| pointer.contains(place))
            {
                continue;
            }
            properties += 1;
            assert!(told(part).is_some_and(|length| (8..400).contains(&length)), "{}{pointer}", one.name);
        }
        assert!(properties > 10, "{}", one.name);
    }
}

fn is_property(pointer: &str) -> bool {
    pointer.rsplit('/').nth(1) == Some("properties") && !pointer.ends_with("properties/properties")
}

#[test]
fn every_reference_leads_somewhere_and_every_definition_is_used() {
    for one in ALL {
        let schema = schema(one.name);
        let references: BTreeSet<&str> = parts(&schema).iter().filter_map(|(_, part)| part["$ref"].as_str()).collect();
        for reference in &references {
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{}: {reference}", one.name);
        }
        for name in schema["$defs"].as_object().unwrap().keys().filter(|name| *name != "profile") {
            assert!(references.contains(format!("#/$defs/{name}").as_str()), "{}: {name} is used nowhere", one.name);
        }
    }
    let profile: Value = serde_json::from_str(include_str!("profile.schema.json")).unwrap();
    let (file, pointer) = profile["$ref"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(file, "policy.schema.json");
    assert!(schema("policy").pointer(pointer).is_some());
}

/// A value as YAML, its texts without quotes where that is the same.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => text.clone(),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}: {}", yaml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// The defaults of a mapping's keys, and of the mappings in it; those named in `but` are left out.
fn defaults(schema: &Value, part: &Value, but: &[&str]) -> serde_json::Map<String, Value> {
    let resolve = |part: &'_ Value| -> Value {
        let reference = part["$ref"]
            .as_str()
            .or(part["anyOf"].as_array().and_then(|parts| parts.iter().find_map(|part| part["$ref"].as_str())));
        reference.and_then(|path| schema.pointer(path.trim_start_matches('#'))).unwrap_or(part).clone()
    };
    let mut found = serde_json::Map::new();
    for (name, part) in part["properties"].as_object().unwrap() {
        if but.contains(&name.as_str()) {
            continue;
        }
        if let Some(default) = part.get("default") {
            found.insert(name.clone(), default.clone());
            continue;
        }
        let inner = resolve(part);
        if inner.get("properties").is_some() {
            let inner = defaults(schema, &inner, but);
            if !inner.is_empty() {
                found.insert(name.clone(), inner.into());
            }
        }
    }
    found
}

#[test]
fn the_defaults_of_the_settings_are_what_the_loader_takes_when_they_are_left_out() {
    let least = serde_json::json!({
        "version": 1, "listeners": [{ "address": "127.0.0.1:8080" }], "upstreams": { "app": { "url": "http://127.0.0.1:8081" } },
    });
    let schema = schema("config");
    let mut written = least.clone();
    // What a file's audit log alone has, and what an assertion has, is not looked at here.
    let own = defaults(&schema, &schema, &["sync", "rotate", "assertion"]);
    for name in ["audit", "identity", "keys", "limits", "telemetry", "policies", "workers"] {
        assert!(own.contains_key(name), "{name}: {own:?}");
    }
    written.as_object_mut().unwrap().extend(own);
    let listener = defaults(&schema, schema.pointer("/$defs/listener").unwrap(), &["client_auth"]);
    written["listeners"][0].as_object_mut().unwrap().extend(listener);
    let upstream = defaults(&schema, schema.pointer("/$defs/upstream").unwrap(), &[]);
    written["upstreams"]["app"].as_object_mut().unwrap().extend(upstream);
    let load = |value: &Value| {
        let file = SourceFile { name: "stepgate.yaml".into(), folder: ".".into(), text: yaml(value) };
        load_settings(file)
            .unwrap_or_else(|rejected| panic!("{}\n{}", yaml(value), rejected.lines().join("\n")))
            .settings
    };
    assert_eq!(load(&written), load(&least));
}

#[test]
fn the_defaults_of_an_issuer_are_what_the_loader_takes_when_they_are_left_out() {
    let schema = schema("policy");
    // An expression holds expressions, and has no default.
    let written = defaults(&schema, schema.pointer("/$defs/issuer_keys").unwrap(), &["client_when"]);
    for name in ["access", "dialect", "id", "mapping", "mfa", "pair", "trust", "user_verification"] {
        assert!(written.contains_key(name), "{name}: {written:?}");
    }
    let load = |mut issuer: Value| {
        issuer["issuer"] = "https://idp.example".into();
        issuer["access"]["audiences"] = vec!["api"].into();
        issuer["id"]["audiences"] = vec!["app"].into();
        let policy = serde_json::json!({ "version": 1, "issuers": { "idp": issuer } });
        let file = SourceFile { name: "policy.yaml".into(), folder: ".".into(), text: yaml(&policy) };
        load_policy(vec![file]).unwrap_or_else(|rejected| panic!("{}\n{}", yaml(&policy), rejected.lines().join("\n")))
    };
    let (said, left_out) = (load(written.into()), load(serde_json::json!({ "access": {}, "id": {} })));
    let [said, left_out] = [&said, &left_out].map(|loaded| &loaded.policy.issuers()[0]);
    assert_eq!((said.fingerprint, said.dialect), (left_out.fingerprint, left_out.dialect));
}

#[test]
fn the_editor_line_of_every_shipped_file_leads_to_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = fs::read_dir(root.join("policies/examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(PathBuf, &str)> = vec![(root.join("deploy/stepgate.yaml"), CONFIG)];
    for folder in examples.filter(|path| path.is_dir()) {
        files.push((folder.join("policy.yaml"), POLICY));
        files.push((folder.join("policy.test.yaml"), TEST));
    }
    for profile in profile::ALL {
        files
            .push((root.join(format!("policies/profiles/{}.yaml", profile.stem)), include_str!("profile.schema.json")));
    }
    for (path, schema) in files {
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().next().unwrap();
        let named =
            line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| panic!("{}", path.display()));
        let led_to = fs::read_to_string(path.parent().unwrap().join(named)).unwrap();
        assert!(led_to == schema, "{}: {named} is another schema", path.display());
    }
}
