//! Which shipped profile is for this issuer: told by its URL, else by the `acr` values that it supports.

use std::collections::BTreeSet;

use reqwest::Url;

use crate::config::profile::{ALL, Profile};
use crate::config::{SourceFile, load_policy};
use crate::token::TokenKind;

/// A profile, and why it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    pub(super) profile: &'static Profile,
    /// How the issuer was recognised, in words that go on after "recognised by"; `None`: it was not.
    pub(super) by: Option<String>,
}

/// What is taken where nothing is recognised: the meaning that the standard itself gives to `amr`.
const PLAIN: &str = "rfc8176";

/// Hosts of vendors who run their service under names of their own. What begins with a dot is a host's end.
const HOSTS: &[(&str, &str)] = &[
    (".okta.com", "okta"),
    (".oktapreview.com", "okta"),
    (".okta-emea.com", "okta"),
    (".auth0.com", "auth0"),
    ("sts.windows.net", "entra-v1"),
    ("login.microsoftonline.com", "entra-v2-acrs"),
    (".amazonaws.com", "cognito"),
    ("auth.pingone.com", "pingone"),
    ("auth.pingone.eu", "pingone"),
    ("auth.pingone.ca", "pingone"),
    ("auth.pingone.asia", "pingone"),
    ("auth.pingone.com.au", "pingone"),
    ("secure.login.gov", "login-gov"),
    ("idp.int.identitysandbox.gov", "login-gov"),
    (".account.gov.uk", "govuk-one-login"),
    (".nhsidentity.spineservices.nhs.uk", "nhs-cis2"),
    (".securid.com", "rsa-id-plus"),
    (".cloudentity.io", "secureauth"),
    (".zitadel.cloud", "zitadel"),
    ("idporten.no", "idporten"),
    (".idporten.no", "idporten"),
    (".franceconnect.gouv.fr", "franceconnect"),
    (".singpass.gov.sg", "singpass"),
];

/// Paths by which products that people run themselves are told.
const PATHS: &[(&str, &str)] = &[("/realms/", "keycloak"), ("/application/o/", "authentik"), ("/oauth2/token", "wso2")];

/// The profiles of those whose word on a sign-in is in the `id_token`; of the others it is in the access token.
const BY_ID_TOKEN: &[&str] = &[
    "authelia",
    "bundid",
    "denmark-nsis",
    "digid",
    "eherkenning",
    "eidas",
    "entra-eam",
    "finland-ftn",
    "franceconnect",
    "govuk-one-login",
    "itsme",
    "login-gov",
    "nhs-cis2",
    "refeds",
    "rsa-id-plus",
    "singpass",
    "spid-cie",
    "zitadel",
];

/// The kind of token that a policy of this profile judges first.
pub(super) fn kind(profile: &Profile) -> TokenKind {
    if BY_ID_TOKEN.contains(&profile.stem) { TokenKind::Id } else { TokenKind::Access }
}

/// The newest version of the profile with this name.
pub(super) fn named(name: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.stem == name)
}

/// The profile for an issuer that says it supports these `acr` values. `None` only if no profile is shipped at all.
pub(super) fn recognise(issuer: &str, supported: &[Box<str>]) -> Option<Recognised> {
    if let Some((what, profile)) = by_url(issuer) {
        return Some(Recognised { profile, by: Some(format!("{what} in its URL")) });
    }
    if let Some((value, profile)) = by_acr(supported) {
        return Some(Recognised { profile, by: Some(format!("the acr value `{value}`, which it supports")) });
    }
    named(PLAIN).map(|profile| Recognised { profile, by: None })
}

fn by_url(issuer: &str) -> Option<(String, &'static Profile)> {
    let url = Url::parse(issuer).ok()?;
    let host = url.host_str()?;
    let is_host = |known: &str| if known.starts_with('.') { host.ends_with(known) } else { host == known };
    let (what, name) = HOSTS
        .iter()
        .find(|(known, name)| is_host(known) && (*name != "cognito" || host.starts_with("cognito-idp.")))
        .or_else(|| PATHS.iter().find(|(part, _)| url.path().contains(part)))?;
    Some((format!("`{}`", what.trim_start_matches('.')), named(name)?))
}

/// The profile that knows most of these values; of several the one that knows fewest others. Bare numbers say nothing: many
/// count their levels.
fn by_acr(supported: &[Box<str>]) -> Option<(Box<str>, &'static Profile)> {
    let telling = supported.iter().filter(|value| !value.bytes().all(|byte| byte.is_ascii_digit()));
    let supported: BTreeSet<&str> = telling.map(|value| &**value).collect();
    let known = |profile: &'static Profile| -> Option<(BTreeSet<Box<str>>, &'static Profile)> {
        let values = acr_values(profile)?;
        values.iter().any(|value| supported.contains(&**value)).then_some((values, profile))
    };
    let rank = |values: &BTreeSet<Box<str>>| {
        let shared = values.iter().filter(|value| supported.contains(&***value)).count();
        (shared, std::cmp::Reverse(values.len()))
    };
    let (values, profile) = ALL.iter().filter_map(known).max_by_key(|(values, _)| rank(values))?;
    let first = values.into_iter().find(|value| supported.contains(&**value))?;
    Some((first, profile))
}

/// The `acr` values that a profile knows: its proofs' and those that it asks for.
fn acr_values(profile: &Profile) -> Option<BTreeSet<Box<str>>> {
    let text = super::draft::bare(profile);
    let file = SourceFile { name: "policy.yaml".into(), folder: "".into(), text };
    let loaded = load_policy(vec![file]).ok()?;
    let issuer = loaded.policy.issuers().first()?;
    let proved = issuer.proofs.iter().flat_map(|proof| proof.evidence.acr_values());
    let asked = issuer.challenges.iter().flat_map(|listed| listed.acr_values.iter().cloned());
    Some(proved.chain(asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(issuer: &str, supported: &[&str]) -> (&'static str, Option<String>) {
        let supported: Vec<Box<str>> = supported.iter().map(|value| Box::from(*value)).collect();
        let found = recognise(issuer, &supported).unwrap();
        (found.profile.stem, found.by)
    }

    #[test]
    fn every_profile_that_is_named_is_shipped() {
        let named = HOSTS.iter().chain(PATHS).map(|(_, name)| name).chain(BY_ID_TOKEN).chain([&PLAIN]);
        for name in named {
            assert!(super::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn vendors_are_known_by_their_hosts_and_products_by_their_paths() {
        for (issuer, profile) in [
            ("https://acme.okta.com/oauth2/default", "okta"),
            ("https://acme.eu.auth0.com/", "auth0"),
            ("https://login.microsoftonline.com/0000/v2.0", "entra-v2-acrs"),
            ("https://sts.windows.net/0000/", "entra-v1"),
            ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A", "cognito"),
            ("https://id.example/realms/main", "keycloak"),
            ("https://auth.example/application/o/wiki/", "authentik"),
            ("https://oidc.integration.account.gov.uk/", "govuk-one-login"),
        ] {
            assert_eq!(told(issuer, &[]).0, profile, "{issuer}");
        }
        for other in
            ["https://okta.com.example/", "https://notokta.com/", "https://s3.amazonaws.com/x", "https://idp.example"]
        {
            assert_eq!(told(other, &[]), ("rfc8176", None), "{other}");
        }
    }

    #[test]
    fn others_are_known_by_the_acr_values_that_they_support() {
        for (value, profile) in [
            ("urn:brasil:openbanking:loa3", "openfinance-brasil"),
            ("https://www.spid.gov.it/SpidL2", "spid-cie"),
            ("urn:cds.au:cdr:3", "cdr-australia"),
        ] {
            let (found, by) = told("https://idp.example", &["0", value]);
            assert_eq!(found, profile);
            assert!(by.unwrap().contains(value));
        }
        assert_eq!(told("https://idp.example", &["0", "1", "2"]), ("rfc8176", None), "anybody counts");
    }
}
