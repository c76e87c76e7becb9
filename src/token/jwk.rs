//! One key of a key set (RFC 7517 section 4): usable, or why not.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use aws_lc_rs::digest;

use crate::token::algorithm::Algorithm;
use crate::token::header::KID_BYTES;
use crate::token::json::Json;
use crate::token::keys::{DroppedKey, KeyId};
use crate::token::rejection::quoted;
use crate::token::signature::{KeyType, PublicKey};

/// A usable public key of a set.
pub(in crate::token) struct Key {
    pub(in crate::token) id: KeyId,
    pub(in crate::token) kid: Option<Box<str>>,
    /// What the issuer pinned the key to; `None`: whatever its type can do.
    pinned: Option<Algorithm>,
    pub(in crate::token) public: PublicKey,
}

impl Key {
    /// Reads one member of `keys`.
    pub(in crate::token) fn read(text: &str) -> Result<Self, DroppedKey> {
        let dropped = |kid: Option<&str>, why: Cow<'static, str>| DroppedKey { kid: kid.map(quoted), why };
        let jwk = Json::parse(text)
            .map_err(|_unread| dropped(None, "it nests too deeply or has a duplicate member".into()))?;
        let kid = match jwk.member("kid") {
            None => None,
            Some(Json::String(kid)) if kid.len() <= KID_BYTES => Some(&**kid),
            Some(Json::String(kid)) => return Err(dropped(Some(kid), "its `kid` is longer than 256 bytes".into())),
            Some(_) => return Err(dropped(None, "its `kid` is not a string".into())),
        };
        let (public, pinned) = usable(&jwk).map_err(|why| dropped(kid, why))?;
        let id = identity(kid, pinned, &public);
        Ok(Self { id, kid: kid.map(Into::into), pinned, public })
    }

    /// Whether a token signed with this algorithm may be checked with this key: one key, one algorithm (RFC 8725
    /// section 3.1) where the issuer says which.
    pub(in crate::token) fn fits(&self, algorithm: Algorithm) -> bool {
        match self.pinned {
            Some(pinned) => pinned == algorithm,
            None => self.public.key_type().algorithms().contains(&algorithm),
        }
    }
}

fn usable(jwk: &Json) -> Result<(PublicKey, Option<Algorithm>), Cow<'static, str>> {
    let kty = text(jwk, "kty")?.ok_or("it has no `kty`")?;
    if kty == "oct" || jwk.member("k").is_some() {
        return Err("it is a shared secret, with which anyone who can check can also sign".into());
    }
    if let Some(part) = ["d", "p", "q", "dp", "dq", "qi", "oth"].into_iter().find(|part| jwk.member(part).is_some()) {
        return Err(format!("it publishes its private half (`{part}`): whoever read the set can sign with it").into());
    }
    match text(jwk, "use")? {
        None | Some("sig") => {}
        Some(other) => return Err(format!("its `use` is {}, not `sig`", quoted(other)).into()),
    }
    match jwk.member("key_ops") {
        None => {}
        Some(Json::Array(ops)) if ops.iter().any(|op| op.as_str() == Some("verify")) => {}
        Some(_) => return Err("its `key_ops` does not contain `verify`".into()),
    }
    let public = match kty {
        "RSA" => PublicKey::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
        "EC" => {
            let curve = match text(jwk, "crv")?.ok_or("it has no `crv`")? {
                "P-256" => KeyType::P256,
                "P-384" => KeyType::P384,
                "P-521" => KeyType::P521,
                other => return Err(format!("its curve {} is not supported", quoted(other)).into()),
            };
            PublicKey::ec(curve, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?
        }
        "OKP" => match text(jwk, "crv")?.ok_or("it has no `crv`")? {
            "Ed25519" => PublicKey::ed25519(&bytes(jwk, "x")?)?,
            other => return Err(format!("its curve {} is not supported", quoted(other)).into()),
        },
        other => return Err(format!("its type {} is not supported", quoted(other)).into()),
    };
    let pinned = match text(jwk, "alg")? {
        None => None,
        Some(name) => match Algorithm::named(name) {
            Some(algorithm) if public.key_type().algorithms().contains(&algorithm) => Some(algorithm),
            Some(_) | None => {
                return Err(format!("its `alg` {} is not one that such a key can check", quoted(name)).into());
            }
        },
    };
    Ok((public, pinned))
}

fn text<'j>(jwk: &'j Json, name: &'static str) -> Result<Option<&'j str>, Cow<'static, str>> {
    match jwk.member(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("its `{name}` is not a string").into()),
    }
}

fn bytes(jwk: &Json, name: &'static str) -> Result<Vec<u8>, Cow<'static, str>> {
    let encoded = text(jwk, name)?.ok_or_else(|| format!("it has no `{name}`"))?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_stray| format!("its `{name}` is not base64url without padding").into())
}

/// Two keys are one if the issuer says the same of them in all that we use.
fn identity(kid: Option<&str>, pinned: Option<Algorithm>, public: &PublicKey) -> KeyId {
    let mut hash = digest::Context::new(&digest::SHA256);
    let [material, exponent] = public.material();
    let kind = format!("{:?} {:?}", public.key_type(), pinned);
    let known = [u8::from(kid.is_some())];
    for part in [known.as_slice(), kid.unwrap_or_default().as_bytes(), kind.as_bytes(), material, exponent] {
        hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 32];
    id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    KeyId::from_hash(id)
}
