//! The JSON Schemas of the files that people write and read, for editors and other programs.
//!
//! They are written by hand, since the loader reads a tree of its own. The tests beside this hold their keys, words and
//! defaults against the loader's; `make schema` has an independent validator judge every shipped and every broken file.
//! The loader never looks at them.

/// A schema, as JSON Schema 2020-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What `stepgate schema` calls it.
    pub name: &'static str,
    /// The files that it describes.
    pub about: &'static str,
    /// The schema.
    pub text: &'static str,
}

/// Every schema, in the order in which they are listed.
pub const ALL: &[Schema] = &[
    Schema { name: "policy", about: "policies/*.yaml: issuers, levels, routes", text: POLICY },
    Schema { name: "config", about: "stepgate.yaml: how the process runs", text: CONFIG },
    Schema { name: "test", about: "*.test.yaml: what a policy promises", text: TEST },
    Schema { name: "audit", about: "a line of the audit log", text: AUDIT },
];

const POLICY: &str = include_str!("policy.schema.json");
const CONFIG: &str = include_str!("config.schema.json");
const TEST: &str = include_str!("test.schema.json");
const AUDIT: &str = include_str!("audit.schema.json");

impl Schema {
    /// The schema with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|schema| schema.name == name)
    }
}

#[cfg(test)]
mod tests;
