//! A refusal as a way to sign in: `303 See Other` to the URL that the policy names.

use http::header::{self, HeaderMap, HeaderValue};

use crate::proxy::respond::page;

/// Adds where it leads. What a template is filled to has only characters of a URL.
pub(super) fn add_fields(fields: &mut HeaderMap, way: &str) {
    if let Ok(way) = HeaderValue::from_str(way) {
        fields.insert(header::LOCATION, way);
    }
}

/// What is shown where a browser does not follow: the same way, as a link.
pub(super) fn text(way: &str, id: &HeaderValue) -> String {
    let mut text = page::begin("Sign in to go on");
    text.push_str("<p><a href=\"");
    page::escape(&mut text, way);
    text.push_str("\">Go to the sign-in</a></p>\n");
    page::end(&mut text, id);
    text
}
