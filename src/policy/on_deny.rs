//! What a refused browser is offered besides the refusal itself: a way to sign in, and an end of being sent there.

use std::fmt::Write as _;

/// A route's `on_deny`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnDeny {
    /// Where a browser is sent that a sign-in would help; `None`: nowhere, it gets a page.
    pub redirect: Option<Template>,
    /// What becomes of a user whose new sign-in is still short.
    pub repeat: Repeat,
}

/// What becomes of a user who signed in anew and is still refused for the strength or age of the sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// The same challenge once more.
    #[default]
    Allow,
    /// No further round.
    Forbid,
}

/// Where to sign in: a URL whose scheme and host are the policy's own words, so that nothing a client sends leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Scheme and authority.
    pub at: Origin,
    /// All that follows them: nothing, or what begins with `/`, `?` or `#`.
    pub parts: Box<[Part]>,
}

/// The scheme and authority of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Those of `public_url`.
    PublicUrl,
    /// These, as `https://app.example`.
    Named(Box<str>),
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Written as it is.
    Literal(Box<str>),
    /// What of the refusal and the request stands here, escaped; nothing where there is none.
    Filled(Placeholder),
}

/// What can be filled in: no more than the challenge tells, and what the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The `acr` values any one of which would be enough, with a space between each two.
    AcrValues,
    /// The most seconds since the sign-in.
    MaxAge,
    /// The scopes asked for, with a space between each two.
    Scope,
    /// What the client asked for, under `public_url`.
    Url,
}

impl Placeholder {
    /// All of them, by the names that they have in a template.
    pub const ALL: [(&'static str, Self); 4] =
        [("acr_values", Self::AcrValues), ("max_age", Self::MaxAge), ("scope", Self::Scope), ("url", Self::Url)];
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// What clients call us, without a final slash; `None`: nobody said.
    pub public_url: Option<&'a str>,
    /// The canonical path that was asked for.
    pub path: &'a str,
    /// The query, as it was sent.
    pub query: Option<&'a str>,
    /// See [`Placeholder::AcrValues`].
    pub acr_values: &'a [&'a str],
    /// See [`Placeholder::MaxAge`].
    pub max_age: Option<u32>,
    /// See [`Placeholder::Scope`].
    pub scope: &'a [&'a str],
}

impl Template {
    /// Whether it can't be filled without a `public_url`.
    #[must_use]
    pub fn needs_public_url(&self) -> bool {
        self.at == Origin::PublicUrl || self.parts.contains(&Part::Filled(Placeholder::Url))
    }

    /// The URL; `None` if it needs a `public_url` and there is none. Every value is escaped down to the unreserved
    /// characters (RFC 3986 section 2.3), so that none of them ends its part of the URL.
    #[must_use]
    pub fn fill(&self, with: &Filling<'_>) -> Option<String> {
        let mut url = String::with_capacity(ROOM);
        match &self.at {
            Origin::PublicUrl => url.push_str(with.public_url?),
            Origin::Named(origin) => url.push_str(origin),
        }
        for part in &self.parts {
            match part {
                Part::Literal(text) => url.push_str(text),
                Part::Filled(Placeholder::AcrValues) => list(&mut url, with.acr_values),
                Part::Filled(Placeholder::Scope) => list(&mut url, with.scope),
                Part::Filled(Placeholder::MaxAge) => {
                    if let Some(seconds) = with.max_age {
                        let _infallible = write!(url, "{seconds}");
                    }
                }
                Part::Filled(Placeholder::Url) => {
                    escape(&mut url, with.public_url?);
                    escape(&mut url, with.path);
                    if let Some(query) = with.query {
                        escape(&mut url, "?");
                        escape(&mut url, query);
                    }
                }
            }
        }
        Some(url)
    }
}

fn list(url: &mut String, values: &[&str]) {
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            escape(url, " ");
        }
        escape(url, value);
    }
}

fn escape(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(byte.into());
        } else {
            let _infallible = write!(url, "%{byte:02X}");
        }
    }
}

/// What the usual URL has room in.
const ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn template(at: Origin) -> Template {
        let literal = |text: &str| Part::Literal(text.into());
        let filled = Part::Filled;
        let parts = [
            literal("/in?acr="),
            filled(Placeholder::AcrValues),
            literal("&age="),
            filled(Placeholder::MaxAge),
            literal("&scope="),
            filled(Placeholder::Scope),
            literal("&to="),
            filled(Placeholder::Url),
        ];
        Template { at, parts: parts.into() }
    }

    const EMPTY: Filling<'static> = Filling {
        public_url: Some("https://api.example:8443"),
        path: "/",
        query: None,
        acr_values: &[],
        max_age: None,
        scope: &[],
    };

    #[test]
    fn every_value_is_escaped_to_the_unreserved_characters() {
        let filling = Filling {
            path: "/a%2Fb~c/é",
            query: Some("x=1&to=//evil.example/?y#z+ "),
            acr_values: &["urn:a", "b&c=d"],
            max_age: Some(0),
            scope: &["pay", "{url}"],
            ..EMPTY
        };
        let filled = template(Origin::Named("https://app.example".into())).fill(&filling).unwrap();
        assert_eq!(
            filled,
            "https://app.example/in?acr=urn%3Aa%20b%26c%3Dd&age=0&scope=pay%20%7Burl%7D&to=https%3A%2F%2Fapi.example%3A8443\
             %2Fa%252Fb~c%2F%C3%A9%3Fx%3D1%26to%3D%2F%2Fevil.example%2F%3Fy%23z%2B%20"
        );
    }

    #[test]
    fn what_is_absent_becomes_empty_and_an_empty_query_stays() {
        let filled = |filling: &Filling<'_>| template(Origin::PublicUrl).fill(filling).unwrap();
        assert_eq!(
            filled(&EMPTY),
            "https://api.example:8443/in?acr=&age=&scope=&to=https%3A%2F%2Fapi.example%3A8443%2F"
        );
        assert!(filled(&Filling { query: Some(""), ..EMPTY }).ends_with("8443%2F%3F"));
    }

    #[test]
    fn without_a_public_url_what_needs_one_is_not_filled() {
        let nowhere = Filling { public_url: None, ..EMPTY };
        let named = template(Origin::Named("https://app.example".into()));
        assert!(named.needs_public_url() && named.fill(&nowhere).is_none());
        let plain = Template { parts: [Part::Literal("/in".into())].into(), ..named };
        assert!(!plain.needs_public_url());
        assert_eq!(plain.fill(&nowhere).as_deref(), Some("https://app.example/in"));
        let ours = Template { at: Origin::PublicUrl, ..plain };
        assert!(ours.needs_public_url() && ours.fill(&nowhere).is_none());
    }
}
