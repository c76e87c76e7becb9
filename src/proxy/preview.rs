//! What a client would be answered, for whoever explains a refusal: the response that `respond` makes, and no other.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Version};
use http_body::Body as _;

use crate::config::settings::Limits;
use crate::policy::Denial;
use crate::proxy::downstream::lane::{Answered, Lane};
use crate::proxy::downstream::timing::Ticker;
use crate::proxy::downstream::wire::Watch;
use crate::proxy::respond::{self, Asked, Context, GrpcStatus, Reader};

/// A response that would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) status: u16,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<String>,
    /// The problem document.
    pub(crate) body: String,
    /// What a gRPC client reads in its place.
    pub(crate) grpc: Option<PreviewOfGrpc>,
}

/// What a gRPC client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreviewOfGrpc {
    pub(crate) status: GrpcStatus,
    /// `grpc-message`.
    pub(crate) message: String,
}

/// The response to a request of a program refused so. `realm`: its canonical host, empty where none could be read.
/// `resource_metadata`: where our metadata stands, if there is any. `supported`: what its issuer says that it supports of `acr`,
/// where that is known. `grpc`: the request is a gRPC call.
pub(crate) fn preview(
    denial: &Denial,
    realm: &str,
    resource_metadata: Option<&str>,
    supported: Option<&[Box<str>]>,
    grpc: bool,
) -> Preview {
    const ID: HeaderValue = HeaderValue::from_static("example");
    let watch = Watch::new(&Ticker::new(), &Limits::default());
    let answered = Answered::new(Lane::Alone(watch), None);
    let (mut asking, ()) = http::Request::new(()).into_parts();
    if grpc {
        (asking.method, asking.version) = (Method::POST, Version::HTTP_2);
        asking.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    let asked = Asked { head: &asking, path: None, public_url: None };
    // Of a GET, but of no browser.
    let reader = if grpc { Reader::of(&asked, None) } else { Reader::default() };
    let context = Context { id: &ID, realm, head: false, supported, resource_metadata, asked, reader };
    let refusal = denial.clone().into();
    let response = respond::refuse(&refusal, &context, answered);
    let (head, mut body) = response.into_parts();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A refusal is one piece, which is there at once.
    let frame = Pin::new(&mut body).poll_frame(&mut TaskContext::from_waker(Waker::noop()));
    let text = match &frame {
        Poll::Ready(Some(Ok(frame))) => frame.data_ref().map(|data| String::from_utf8_lossy(data).into_owned()),
        Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
    };
    let message = field("grpc-message").unwrap_or_default();
    let grpc = grpc.then(|| PreviewOfGrpc { status: respond::grpc_status(&refusal), message });
    Preview {
        grpc,
        status: head.status.as_u16(),
        challenge: field("www-authenticate"),
        retry_after: field("retry-after"),
        body: text.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assurance::Challenge;
    use crate::policy::StepUp;
    use crate::reason::Reason;

    #[test]
    fn it_is_what_the_proxy_sends() {
        let step_up = StepUp { acr_values: Some(Challenge::Listed(["gold".into()].into())), ..StepUp::default() };
        let denial = Denial { step_up: Some(step_up), ..Denial::because(Reason::LevelTooLow) };
        let shown = preview(&denial, "api.example", None, None, false);
        assert_eq!(shown.status, 401);
        let challenge = "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", acr_values=\"gold\"";
        assert_eq!(shown.challenge.as_deref(), Some(challenge));
        let body: serde_json::Value = serde_json::from_str(&shown.body).unwrap();
        assert_eq!(body["acr_values"], serde_json::json!(["gold"]));
        let derived =
            StepUp { acr_values: Some(Challenge::Derived(["a".into(), "b".into()].into())), ..StepUp::default() };
        let derived = Denial { step_up: Some(derived), ..denial.clone() };
        let asked = |supported| preview(&derived, "", None, supported, false).challenge.unwrap();
        assert!(asked(None).contains("acr_values=\"a b\""), "{}", asked(None));
        assert!(asked(Some(&["b".into()])).contains("acr_values=\"b\""), "only what the issuer says it supports");
        let named = preview(&denial, "", Some("https://api.example/m"), None, false).challenge.unwrap();
        assert!(named.contains("resource_metadata=\"https://api.example/m\""), "{named}");
        let call = preview(&denial, "api.example", None, None, true);
        assert_eq!((call.status, call.challenge.as_deref(), call.body.as_str()), (200, Some(challenge), ""));
        let PreviewOfGrpc { status, message } = call.grpc.unwrap();
        assert_eq!(
            (status.code, status.name, message.as_str()),
            (16, "UNAUTHENTICATED", "insufficient_user_authentication")
        );
        assert_eq!(
            preview(&Denial::because(Reason::KeysUnavailable), "", None, None, false).retry_after.as_deref(),
            Some("1")
        );
    }
}
