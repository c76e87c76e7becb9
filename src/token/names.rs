//! Names of a token's members, told apart for little.

/// A name that most tokens have, and that need not be copied out of each.
pub(in crate::token) fn usual(name: &str) -> Option<&'static str> {
    macro_rules! one_of {
        ($($usual:literal),* $(,)?) => {
            match name {
                $($usual => Some($usual),)*
                _ => None,
            }
        };
    }
    one_of!(
        "acr",
        "alg",
        "amr",
        "at_hash",
        "aud",
        "auth_time",
        "azp",
        "client_id",
        "email",
        "exp",
        "groups",
        "iat",
        "iss",
        "jti",
        "kid",
        "name",
        "nbf",
        "nonce",
        "roles",
        "scope",
        "scp",
        "sid",
        "sub",
        "typ",
        "ver",
    )
}

/// One of 64, by length, middle and last character: names whose marks differ differ. By these factors the usual names of
/// one token mostly have marks of their own.
pub(in crate::token) fn mark(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let at = |place: usize| bytes.get(place).map_or(0, |byte| usize::from(*byte));
    let (middle, last) = (at(bytes.len() / 2), at(bytes.len().saturating_sub(1)));
    let sum = middle.wrapping_add(last.wrapping_mul(3)).wrapping_add(bytes.len().wrapping_mul(3));
    1 << (sum & 63)
}

/// Whether these are one name. Of a token's names few have the same length, and fewer the same end.
pub(in crate::token) fn same_name(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.as_bytes().last() == other.as_bytes().last() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_if_they_are_equal_and_then_their_marks_are() {
        let names = ["", "a", "sub", "dub", "bus", "acr", "amr", "auth_time", "auth_tame", "ACR", "é", "è"];
        for one in names {
            for other in names {
                assert_eq!(same_name(one, other), one == other, "{one} {other}");
                assert!(one != other || mark(one) == mark(other), "{one}");
            }
        }
    }

    #[test]
    fn a_usual_name_is_itself() {
        assert_eq!(usual("auth_time"), Some("auth_time"));
        assert_eq!(usual("auth_tame"), None);
    }
}
