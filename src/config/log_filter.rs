//! What `telemetry.log` and `demo --log` may say: levels, for everything or for parts of the program.

/// How a filter is written.
pub const HELP: &str =
    "write `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list such as `info,stepgate=debug`";

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Whether a text is a level, or a list of levels and `target=level`, separated by commas.
///
/// # Errors
/// What is wrong with it; [`HELP`] says how it is written.
pub fn check(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(|part| {
        let (target, level) = part.split_once('=').map_or((None, part), |(target, level)| (Some(target), level));
        if !LEVELS.contains(&level) {
            return Err(if level.is_empty() {
                "a level is missing".to_owned()
            } else {
                format!("`{level}` is no level")
            });
        }
        let legal = |target: &str| {
            !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
        };
        match target {
            Some(target) if !legal(target) => Err(format!("`{target}` names no part of the program")),
            Some(_) | None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_alone_or_by_target() {
        for good in ["off", "info", "info,stepgate=debug", "stepgate::jwks=trace,warn"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "verbose",
            "INFO",
            "info,",
            "info, warn",
            " info",
            "stepgate",
            "=info",
            "a b=info",
            "stepgate=loud",
            "[span]=info",
            "5",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
