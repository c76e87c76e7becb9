//! What a refusal looks like from outside: its status, its challenge, and whether the reason may be named.

use http::StatusCode;

use crate::assurance::Dialect;
use crate::policy::StepUp;
use crate::proxy::challenge::STEP_UP;
use crate::proxy::refusal::Refusal;
use crate::proxy::respond::grpc::{self, GrpcStatus};
use crate::reason::Reason;

/// What a refusal looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) status: StatusCode,
    /// The error code of the challenge, as RFC 9470 has it; none: no challenge, or one without a code.
    pub(super) error: Option<&'static str>,
    /// Whether there is a challenge.
    pub(super) challenged: bool,
    /// Whether the reason may be named: where status and challenge tell as much, or it is about the request's own form.
    pub(super) named: bool,
}

const fn face(status: StatusCode) -> Face {
    Face { status, error: None, challenged: false, named: false }
}

impl Face {
    const fn error(self, code: &'static str) -> Self {
        Self { error: Some(code), challenged: true, ..self }
    }

    const fn challenged(self) -> Self {
        Self { challenged: true, ..self }
    }

    const fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// Whether the user could mend it by signing in, or by signing in anew.
    pub(super) fn is_mended_by_sign_in(self) -> bool {
        self.status == StatusCode::UNAUTHORIZED || self.error == Some(STEP_UP)
    }
}

pub(super) fn face_of(reason: Reason, step_up: Option<&StepUp>) -> Face {
    match reason {
        Reason::Overloaded => face(StatusCode::SERVICE_UNAVAILABLE).named(),
        Reason::RequestMalformed | Reason::PathAmbiguous => face(StatusCode::BAD_REQUEST).named(),
        Reason::RouteNone | Reason::OriginRefused | Reason::CallerWrong | Reason::ClaimMismatch => {
            face(StatusCode::FORBIDDEN)
        }
        Reason::TokenMissing => face(StatusCode::UNAUTHORIZED).challenged().named(),
        Reason::TokenDuplicate | Reason::TokenTooLarge => {
            face(StatusCode::BAD_REQUEST).error("invalid_request").named()
        }
        Reason::BodyTooLarge => face(StatusCode::PAYLOAD_TOO_LARGE).named(),
        Reason::BodyUnsupported => face(StatusCode::UNSUPPORTED_MEDIA_TYPE).named(),
        Reason::TokenMalformed
        | Reason::TokenEncrypted
        | Reason::HeaderRefused
        | Reason::AlgorithmRefused
        | Reason::IssuerUnknown
        | Reason::KeyUnknown
        | Reason::SignatureInvalid
        | Reason::ClaimsMalformed
        | Reason::Expired
        | Reason::NotYetValid
        | Reason::AudienceWrong
        | Reason::AzpWrong
        | Reason::TokenKindWrong
        | Reason::IntrospectionInactive
        | Reason::Revoked
        | Reason::IssuerRefused
        | Reason::BindingMissing
        | Reason::BindingInvalid
        | Reason::DpopReplayed
        | Reason::TokensDisagree => face(StatusCode::UNAUTHORIZED).error("invalid_token"),
        Reason::KeysUnavailable | Reason::IntrospectionUnavailable => face(StatusCode::SERVICE_UNAVAILABLE),
        Reason::AcrMalformed
        | Reason::AmrMalformed
        | Reason::AcrMissing
        | Reason::AmrMissing
        | Reason::AcrUnknown
        | Reason::AcrInsufficient
        | Reason::AmrInsufficient
        | Reason::LevelTooLow
        | Reason::AuthTimeMissing
        | Reason::AuthTooOld => match step_up {
            Some(_) => face(StatusCode::UNAUTHORIZED).error(STEP_UP),
            None => face(StatusCode::FORBIDDEN),
        },
        Reason::ScopeMissing => face(StatusCode::FORBIDDEN).error("insufficient_scope").named(),
        Reason::UpstreamUnreachable => face(StatusCode::BAD_GATEWAY).named(),
        Reason::UpstreamTimeout => face(StatusCode::GATEWAY_TIMEOUT).named(),
    }
}

/// What a client is told of a refusal, for whoever explains reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// The error code of the challenge.
    pub(crate) error: Option<&'static str>,
    /// Whether there is a challenge.
    pub(crate) challenged: bool,
    /// Whether the body names the reason.
    pub(crate) named: bool,
}

/// What a client is told of a refusal for this reason. `mendable`: whether a sign-in could mend it.
pub(crate) fn told(reason: Reason, mendable: bool) -> Told {
    let step_up = StepUp::default();
    let Face { status, error, challenged, named } = face_of(reason, Some(&step_up).filter(|_| mendable));
    Told { status: status.as_u16(), error, challenged, named }
}

/// The status that a refusal is answered with.
pub(in crate::proxy) fn status(refusal: &Refusal) -> StatusCode {
    face_of_refusal(refusal).status
}

/// The status that a gRPC call is refused with.
pub(in crate::proxy) fn grpc_status(refusal: &Refusal) -> GrpcStatus {
    grpc::status(face_of_refusal(refusal).status)
}

pub(super) fn face_of_refusal(refusal: &Refusal) -> Face {
    let face = face_of(refusal.denial.reason, refusal.denial.step_up.as_ref());
    match face.error {
        _ if refusal.head_too_large => Face { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ..face },
        // As Okta's own APIs answer; its clients look for it on nothing but a 403.
        Some(STEP_UP) if refusal.denial.dialect == Dialect::Okta => Face { status: StatusCode::FORBIDDEN, ..face },
        Some(_) | None => face,
    }
}
