//! Three-valued logic (Kleene): what is not known neither holds nor fails, and only what certainly holds lets through.

/// Whether a statement about a sign-in holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It certainly does not hold.
    False,
    /// The evidence is absent, malformed or leaves it open.
    Unknown,
    /// It certainly holds.
    True,
}

impl Truth {
    /// Whether it certainly holds.
    #[must_use]
    pub fn holds(self) -> bool {
        self == Self::True
    }

    /// All of them: false as soon as one is false, true only if all are.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut least = Self::True;
        for part in parts {
            least = least.min(part);
            if least == Self::False {
                break;
            }
        }
        least
    }

    /// Any of them: true as soon as one is true, false only if all are.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut most = Self::False;
        for part in parts {
            most = most.max(part);
            if most == Self::True {
                break;
            }
        }
        most
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, False, True, Unknown};

    #[test]
    fn the_tables_are_kleenes() {
        for a in [False, Unknown, True] {
            for b in [False, Unknown, True] {
                let known = |t: Truth| if t == Unknown { vec![False, True] } else { vec![t] };
                let both: Vec<_> =
                    known(a).into_iter().flat_map(|x| known(b).into_iter().map(move |y| x.min(y))).collect();
                let all = if both.iter().all(|t| *t == both[0]) { both[0] } else { Unknown };
                assert_eq!(Truth::all([a, b]), all, "{a:?} and {b:?}");
                assert_eq!(Truth::any([!a, !b]), !all, "De Morgan for {a:?}, {b:?}");
            }
        }
        assert_eq!(Truth::all([]), True);
        assert_eq!(Truth::any([]), False);
    }
}
