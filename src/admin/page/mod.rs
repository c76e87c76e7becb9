//! "How is it doing?" for people: `/` says what `/readyz?verbose` says, `/routes` what each route and floor asks, for whoever
//! shows the credential.
//!
//! The facts are those that programs are told, by the same functions; a policy is put in the core's own words. Nothing here
//! changes anything, runs in the browser, or shows a token, or a comment of the policy (but on lines at fault of a refused one).

mod desk;
mod front;
mod listing;
mod sheet;

#[cfg(test)]
mod tests;

pub(super) use desk::routes;
pub(super) use sheet::CARRIED_BY_ALL;
