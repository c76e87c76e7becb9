//! An issuer's key server, whose mood the test sets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::keys::{Key, jwks};
use crate::shared::upstream::{Answer, Upstream};

/// How it answers.
#[derive(Clone)]
pub(crate) enum Mood {
    /// With this key set.
    Serves(String),
    /// With 500.
    Down,
    /// Not at all: connections are closed.
    Gone,
    /// With this in place of the key set.
    Broken(&'static str),
    /// With this key set, after a while.
    Slow(String, Duration),
}

pub(crate) struct Idp {
    server: Upstream,
    mood: Arc<Mutex<Mood>>,
}

impl Idp {
    pub(crate) fn with(keys: &[&Key]) -> Self {
        Self::that(Mood::Serves(jwks(keys)))
    }

    pub(crate) fn that(mood: Mood) -> Self {
        Self::on(0, mood)
    }

    /// One on this port.
    pub(crate) fn on(port: u16, mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let shared = Arc::clone(&mood);
        let server = Upstream::on(port, move |seen| {
            let issuer = format!("http://{}", seen.header("host").unwrap());
            let mood = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let json = |text: &str| Answer::status(200, "Content-Type: application/json\r\n", text);
            match (seen.path(), mood) {
                (_, Mood::Gone) => Answer::nothing(),
                (_, Mood::Down) => Answer::status(500, "", "down"),
                ("/.well-known/openid-configuration", _) => {
                    json(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}/jwks"}}"#))
                }
                ("/jwks", Mood::Serves(keys)) => json(&keys),
                ("/jwks", Mood::Broken(text)) => json(text),
                ("/jwks", Mood::Slow(keys, pause)) => json(&keys).after(pause),
                (_, Mood::Serves(_) | Mood::Broken(_) | Mood::Slow(..)) => Answer::status(404, "", "no"),
            }
        });
        Self { server, mood }
    }

    pub(crate) fn is_now(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// How often its key set was asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.server.seen().iter().filter(|seen| seen.path() == "/jwks").count()
    }

    /// Every path that was asked for.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.server.seen().iter().map(|seen| seen.path().to_owned()).collect()
    }
}
