//! An issuer's entry with what counts where it says nothing: everything that `stepgate profiles --expanded` shows.

use crate::assurance::{Classes, FactorClass, MethodClass, MethodTable};
use crate::config::layers::merge;
use crate::config::problem::Report;
use crate::config::source::{SourceFile, Sources};
use crate::config::yaml::{self, Node};

/// What an issuer is read by where neither it nor a profile says otherwise. A test holds this against the loader.
const DEFAULTS: &str = "
mapping:
  acr: { from: [acr], accept: [string], absent: unknown }
  amr: { from: [amr], accept: [array], absent: unknown }
  auth_time: { from: [auth_time] }
  subject: { from: [sub] }
  client: { from: [client_id, azp] }
  scopes: { from: [scope, scp] }
user_verification: unknown
mfa: claimed
pair: bound
factor_classes:
";

/// The entry over the defaults and the registered `amr` values. It compiles to what the entry alone compiles to.
#[must_use]
pub fn full(entry: &Node) -> Node {
    let mut text = DEFAULTS.to_owned();
    for (value, class) in MethodTable::rfc8176().iter() {
        text.push_str(&format!("  {value}: {}\n", written(class)));
    }
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let file = sources.add(SourceFile { name: String::new(), folder: std::path::PathBuf::new(), text: text.clone() });
    yaml::parse(file, &text, &mut out).map_or_else(|| entry.clone(), |below| merge(&below, entry))
}

/// A class as policies write it.
fn written(class: MethodClass) -> String {
    let names = |classes: Classes| {
        let names: Vec<&str> =
            FactorClass::ALL.into_iter().filter(|class| classes.has(*class)).map(FactorClass::name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let known = |known: Option<bool>| known.map_or("unknown", |known| if known { "true" } else { "false" });
    format!(
        "{{ is: [{}], may: [{}], phishing_resistant: {}, hardware: {} }}",
        names(class.is),
        names(class.may),
        known(class.phishing_resistant),
        known(class.hardware)
    )
}
