//! `docs/profiles.md`: what the shipped profiles say, as a page. Made from their files; a test holds the page against it.

use std::fmt::Write as _;

use crate::cli::output::Failure;
use crate::config::profile::{ALL, Profile, Read};
use crate::config::yaml::{Key, Kind, Node};
use crate::config::{Report, Sources, write};

const INTRO: &str = "# The shipped profiles

A profile is what is known of a vendor's or an ecosystem's issuers, in the language of [policies](policy.md): where its
evidence stands, what its values are worth, what proves a level. An issuer builds on one with `profile: NAME`, and what the
issuer says itself goes over it. A profile never says whom to believe: `issuer`, `audiences`, `keys` and `trust` are yours.

`stepgate profiles NAME` prints one, `stepgate profiles NAME --expanded` with all that counts where it says nothing, and
`stepgate profiles --expanded --policies DIR ISSUER` what an issuer of yours comes to. This page is made from the files in
`policies/profiles` by `stepgate profiles --docs > docs/profiles.md`.

";

/// The page.
///
/// # Errors
/// When a profile cannot be read; a test makes sure that all can.
pub(super) fn markdown() -> Result<String, Failure> {
    let mut page = INTRO.to_owned();
    let mut sections = String::new();
    page.push_str("| profile | for |\n| --- | --- |\n");
    for profile in ALL.iter().filter(|profile| profile.is_newest()) {
        let read = read(*profile)?;
        let _ = writeln!(page, "| [{0}](#{0}) | {1} |", read.head.name, cell(&read.head.title));
        section(&read, &mut sections);
    }
    page.push_str(&sections);
    Ok(page)
}

fn read(profile: Profile) -> Result<Read, Failure> {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let read = profile.read(&mut sources, &mut out);
    let problems = out.into_problems();
    read.filter(|_| problems.is_empty())
        .ok_or_else(|| Failure::problems(problems.iter().map(|problem| problem.line(&sources)).collect()))
}

fn section(read: &Read, page: &mut String) {
    let (head, issuer) = (&read.head, &read.issuer);
    let _ = write!(
        page,
        "\n## {}\n\n**{}**, version {}.\n\n{}\n",
        head.name,
        head.title,
        head.version,
        head.about.trim_end()
    );
    ladder(read, page);
    let claims: Vec<String> = head.sends.iter().map(|claim| code(claim)).collect();
    let _ = write!(page, "\nThe vendor sends {}.\n", claims.join(", "));
    rows(issuer, page);
    methods(issuer, page);
    list("Before you rely on it:", &head.caveats, page);
    list("Written from:", &head.sources, page);
}

/// What proves each rung and what is asked for, weakest first.
fn ladder(read: &Read, page: &mut String) {
    let (Some(proves), challenge) = (read.issuer.member("proves"), read.issuer.member("challenge")) else {
        page.push_str("\nIt proves nothing by itself: what a value means is yours to say under `proves`.\n");
        return;
    };
    page.push_str("\n| level | is proved by | asked for by `acr_values` |\n| --- | --- | --- |\n");
    let mut rungs: Vec<&(Key, Node)> = pairs(proves).iter().collect();
    let mains = crate::assurance::Ladders::DEFAULT;
    let further = || read.head.ladders.iter().flat_map(|ladder| ladder.rungs.iter().map(|rung| &**rung));
    rungs.sort_by_key(|(key, _)| mains.into_iter().chain(further()).position(|rung| *rung == *key.text));
    for (key, proof) in rungs {
        let asked = challenge.and_then(|asked| asked.member(&key.text)).map(values).unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {} | {} |", key.text, code(&write::line(proof)), asked.join(", "));
    }
    for ladder in &read.head.ladders {
        let rungs: Vec<String> = ladder.rungs.iter().map(|rung| write::text(rung)).collect();
        let _ = write!(
            page,
            "\nThe rungs of the ladder `{0}` count where your policy has them: `ladders: {{ {0}: [{1}] }}`.\n",
            ladder.name,
            rungs.join(", ")
        );
    }
}

/// The other keys that it sets, one row each.
fn rows(issuer: &Node, page: &mut String) {
    let shown = |key: &str| !matches!(key, "proves" | "challenge" | "factor_classes");
    let rows: Vec<&(Key, Node)> = pairs(issuer).iter().filter(|(key, _)| shown(&key.text)).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("\n| key | it sets |\n| --- | --- |\n");
    for (key, node) in rows {
        match &*key.text {
            "mapping" => {
                for (claim, node) in pairs(node) {
                    let _ = writeln!(page, "| `mapping.{}` | {} |", claim.text, code(&write::line(node)));
                }
            }
            name => {
                let _ = writeln!(page, "| `{name}` | {} |", code(&write::line(node)));
            }
        }
    }
}

fn methods(issuer: &Node, page: &mut String) {
    let classes = issuer.member("factor_classes").map(pairs).unwrap_or_default();
    if classes.is_empty() {
        return;
    }
    page.push_str("\n| `amr` | what it is worth |\n| --- | --- |\n");
    for (value, class) in classes {
        let _ = writeln!(page, "| `{}` | {} |", value.text, code(&write::line(class)));
    }
}

fn list(title: &str, items: &[Box<str>], page: &mut String) {
    if items.is_empty() {
        return;
    }
    let _ = write!(page, "\n{title}\n\n");
    for item in items {
        let _ = writeln!(page, "- {item}");
    }
}

fn pairs(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Map(pairs) => pairs,
        Kind::Null | Kind::Scalar { .. } | Kind::List(_) => &[],
    }
}

fn values(node: &Node) -> Vec<String> {
    match &node.kind {
        Kind::List(items) => items.iter().flat_map(values).collect(),
        Kind::Scalar { text, .. } => vec![code(text)],
        Kind::Null | Kind::Map(_) => Vec::new(),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// A text that ends no cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
