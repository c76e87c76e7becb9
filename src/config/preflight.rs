//! `preflight` of a case: that its request is a browser's question before the request that is meant.

use crate::config::matches::is_token;
use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::yaml::Node;
use crate::policy::PREFLIGHT;

/// The method that a preflight asks for. `request`: that of the case.
pub(super) fn preflight(
    node: &Node,
    tokens: &[Option<usize>],
    request: Option<(&str, (&str, &str, &str))>,
    out: &mut Report,
) -> Option<Box<str>> {
    let method = reader::text(node, "the method that a page asks for", out)?;
    let (message, help) = if !is_token(method) {
        (format!("`{method}` is no method"), "write the method of the request that would follow, such as `POST`")
    } else if request.is_some_and(|(_, (method, ..))| method != PREFLIGHT) {
        let message = "a preflight comes with OPTIONS".to_owned();
        (message, "write `request: \"OPTIONS https://…\"`, and under `preflight` the method that would follow")
    } else if !tokens.is_empty() {
        ("a preflight brings no token".to_owned(), "take the token out, or `preflight`")
    } else {
        return Some(method.into());
    };
    out.add(Problem::error("bad_preflight", node.span, message).help(help));
    None
}

#[cfg(test)]
mod tests {
    use crate::config::{SourceFile, load_tests};

    #[test]
    fn a_preflight_comes_with_options_for_a_method_and_without_a_token() {
        let policy = "version: 1\nissuers:\n  bank: { issuer: https://bank.example, access: { audiences: [api] } }\nroutes: []\n";
        let file = |text: &str| SourceFile { name: "p.yaml".into(), folder: ".".into(), text: text.to_owned() };
        let policy = crate::config::load_policy(vec![file(policy)]).unwrap().policy;
        let problems = |case: &str| {
            let head = "version: 1\nnow: 2026-01-01T12:00:00Z\ntokens: { t: { issuer: bank } }\ncases:\n";
            let loaded = load_tests(file(&format!("{head}  - {{ {case}, expect: deny }}\n")), &policy);
            loaded
                .map(|tests| tests.cases[0].preflight.clone())
                .map_err(|rejected| rejected.problems[0].message.clone())
        };
        let options = "request: \"OPTIONS https://api.example/\"";
        assert_eq!(problems(&format!("{options}, preflight: POST")), Ok(Some("POST".into())));
        assert_eq!(problems(options), Ok(None));
        for (case, said) in [
            ("request: \"POST https://api.example/\", preflight: POST".to_owned(), "a preflight comes with OPTIONS"),
            (format!("{options}, preflight: POST, token: t"), "a preflight brings no token"),
            (format!("{options}, preflight: \"P T\""), "`P T` is no method"),
        ] {
            assert_eq!(problems(&case), Err(said.to_owned()), "{case}");
        }
    }
}
