//! "Keys for this issuer, fresh enough." Issuers of the policy in, their current key sets out.
//!
//! Each issuer has its own task, so the trouble of one never delays another. [`KeyStore::take_up`] is called at each
//! policy load, [`IssuerKeys::current`] for each token, [`IssuerKeys::ask`] when a token names a key that the set lacks. Nothing
//! here judges a token.

mod ask;
mod budget;
mod cache_dir;
mod client;
mod copy;
mod discovery;
mod fetch;
mod introduce;
mod issuer_keys;
mod keeper;
mod origin;
mod pace;
mod refresher;
mod store;
#[cfg(test)]
mod tests;

pub use ask::{Answer, NoAnswer, ask};
pub use cache_dir::CacheDir;
pub use introduce::acr_values_supported;
pub(crate) use origin::is_loopback;

pub use issuer_keys::{Asked, IssuerKeys};
pub use pace::{KeySettings, Pace};
pub use store::{IssuerKeysConfig, KeyStore};
