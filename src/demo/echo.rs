//! The demo's application: answers with what reached it, the token left out.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

/// The routes: one answer for everything.
pub fn router() -> Router {
    Router::new().fallback(echo)
}

/// More than anybody types by hand.
const MAX_BODY: usize = 1 << 20;

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the demo's application takes 1 MiB at the most\n").into_response();
    };
    let seen = json!({
        "application": "the request reached it",
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers(&head.headers),
        "body": shown(&String::from_utf8_lossy(&body)),
    });
    Json(seen).into_response()
}

/// A body as it came, but for the tokens in a form.
fn shown(body: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if is_token(value) => format!("{name}=[redacted]"),
        Some(_) | None => pair.to_owned(),
    };
    body.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn headers(headers: &HeaderMap) -> Value {
    let mut seen = Map::new();
    for name in headers.keys() {
        let hidden = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].contains(name);
        let text = |value: &header::HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if hidden || is_token(&text) { "[redacted]".to_owned() } else { text }
        };
        let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
        seen.insert(name.to_string(), values.join(", ").into());
    }
    Value::Object(seen)
}

/// Whether it has the look of a JWT: a policy may take tokens from any header.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_shown() {
        let mut map = HeaderMap::new();
        map.insert(header::AUTHORIZATION, "Bearer eyJ".parse().unwrap());
        map.insert("x-id-token", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln".parse().unwrap());
        map.append("x-stepgate-amr", "pwd".parse().unwrap());
        map.append("x-stepgate-amr", "otp".parse().unwrap());
        let seen = json!({ "authorization": "[redacted]", "x-id-token": "[redacted]", "x-stepgate-amr": "pwd, otp" });
        assert_eq!(headers(&map), seen);
    }

    #[test]
    fn of_a_form_all_but_the_token_is_shown() {
        let body = "state=a%20b&id_token=eyJhbGciOiJFUzI1NiJ9.e30.c2ln&&more=eyJ=1&last";
        assert_eq!(shown(body), "state=a%20b&id_token=[redacted]&&more=eyJ=1&last");
        assert_eq!(shown(""), "");
    }
}
