//! Reasons that are about the request itself, the gate's own limits, and the application behind it.

use crate::reason::guide::text::{Guide, NewSignIn};

pub(super) const OVERLOADED: Guide = Guide {
    causes: &[
        "`limits.requests` or `limits.connections` is reached: a burst, or an application that answers slowly and so holds requests open",
        "the audit log cannot be written (a full disk, a reader that went away) and `when_blocked` is `refuse`",
    ],
    remedy: &[
        "ask `/readyz?verbose` on the admin listener: it says whether the audit log is blocked, and why",
        "if it is, free its disk or start its reader again; the gate goes on by itself",
        "if it is not, compare `stepgate_connections_open` and `stepgate_upstream_requests_in_flight` with `limits`; add a replica or raise the limit that is reached",
    ],
    hint: "The gate itself is short of something: see `/readyz?verbose` for a blocked audit log, then `stepgate_connections_open` and `stepgate_upstream_requests_in_flight` against `limits`.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.6.4", "docs/settings.md, limits", "docs/audit.md, when it cannot be written"],
};

pub(super) const REQUEST_MALFORMED: Guide = Guide {
    causes: &[
        "a scanner or a broken client: no `Host`, two of them, two lengths of one body, control characters in a field",
        "the method is CONNECT or TRACE, which are never forwarded",
        "the request came through this gate three times before: an upstream leads back to it (`Via`)",
        "more fields than `limits.headers`, or a head longer than `limits.head`, mostly of many or large cookies: such a head is answered 431, a target that is too long 414",
    ],
    remedy: &[
        "read `detail` in the log line `denied` with the same id: it names the field or the limit",
        "if the client is yours, correct it; if its head is only large, raise `limits.head` or `limits.headers`",
        "from strangers it is noise",
    ],
    hint: "The HTTP itself is wrong; `detail` names the field or the limit. From an address of yours look at the client or at the proxy before the gate, else it is noise.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &[
        "RFC 9112 sections 3.2 and 6.3",
        "RFC 9113 section 8",
        "RFC 9110 section 9.3 (CONNECT and TRACE)",
        "RFC 9110 section 7.6.3 (Via)",
        "RFC 6585 section 5 (431)",
    ],
};

pub(super) const PATH_AMBIGUOUS: Guide = Guide {
    causes: &[
        "an attack: `%2F`, `%5C`, `..;`, `//` or a doubly escaped path, meant to be judged as one path and served as another",
        "a client that escapes a slash within an identifier (`/files/a%2Fb`), or leaves a segment empty, on a route that does not allow it",
        "an escaped slash or empty segment that its route allows, and that another server would read as a path which another route or floor guards",
        "a `;` parameter on a path whose plain form another route or floor guards",
    ],
    remedy: &[
        "read `detail` in the log line: it names what can be read in two ways",
        "if the upstream is known to mean it, write `encoded_slash: true` or `empty_segments: true` under the route's `match`; else have the client send such an identifier in the query, or in another encoding",
        "never have a proxy before the gate decode paths to get around it: what is judged must be what is served",
    ],
    hint: "The path can be read in two ways; `detail` says where. From strangers it is an attempt to get around a route; from a client of yours it is an escaped slash or an empty segment.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 3986 section 6.2.2", "RFC 9110 section 7.7", "docs/policy.md, a route"],
};

pub(super) const ROUTE_NONE: Guide = Guide {
    causes: &[
        "the application has a new path and the policy does not name it yet",
        "the host that clients use is in no route's `hosts`: a name behind a load balancer, or the bare address",
        "the path matches and the method does not: nothing implies OPTIONS, and GET implies HEAD alone",
    ],
    remedy: &[
        "read `detail`: method, host and path as they were judged",
        "add a route for them, with a case in `*.test.yaml`, and run `stepgate test`; the policy is reloaded by itself",
        "from strangers that look for holes it is the answer that you want",
    ],
    hint: "No route names this method, host and path (`detail` has all three). If the application serves it, add a route; what a policy does not name is refused.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["docs/policy.md, a route"],
};

pub(super) const TOKEN_MISSING: Guide = Guide {
    causes: &[
        "the user has not signed in yet: clients ask once without a token to learn the challenge",
        "the token is somewhere else than where the route looks: a cookie, a header of its own, or the query, which is never read",
        "a proxy before the gate takes `Authorization` away",
    ],
    remedy: &[
        "a single one per client and sign-in is normal",
        "if all requests of a client have it, compare where it puts the token with `take` on the route",
        "if the path needs no token, say `require: public` on its route",
    ],
    hint: "No token where the route looks. Normal once before a sign-in; if a client never gets past it, compare where it sends the token with `take`, and look for a proxy that strips `Authorization`.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["RFC 6750 section 3.1"],
};

pub(super) const TOKEN_DUPLICATE: Guide = Guide {
    causes: &[
        "a proxy before the gate adds a token of its own beside the client's",
        "a library and the application's own code both set `Authorization`",
        "one cookie name under two paths or domains, so that the browser sends both",
        "the form's parameter with the token stands there twice, in another spelling (`ID_TOKEN`), or in the query too",
    ],
    remedy: &[
        "look at the request as it reaches the gate and find who adds the second token",
        "for a cookie: expire the one that was set under another path or domain",
    ],
    hint: "Two tokens in one place, so which one counts would be a guess. Find who adds the second: a proxy before the gate, a second library, or a cookie of the same name under another path.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 6750 sections 2 and 3.1"],
};

pub(super) const TOKEN_TOO_LARGE: Guide = Guide {
    causes: &[
        "the issuer puts all groups or roles of the user into the token",
        "an attack on whoever decodes large tokens",
    ],
    remedy: &[
        "have the issuer filter groups for this client, or send references in place of them",
        "if tokens must be this large, raise `limits.token`; mind that `limits.head` must hold the token too",
    ],
    hint: "The token is longer than `limits.token`. Mostly the issuer puts every group of the user into it: filter them there, or raise `limits.token` (and `limits.head`).",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["docs/settings.md, limits", "RFC 6750 section 3.1"],
};

pub(super) const BODY_TOO_LARGE: Guide = Guide {
    causes: &[
        "an upload that is longer than `limits.body`",
        "a posted form with a token in it that is longer than `limits.form`",
    ],
    remedy: &[
        "read `detail`: it has the length and the limit",
        "raise that limit in stepgate.yaml if such bodies are meant; `limits.body` is `none` unless you set it",
    ],
    hint: "The body is longer than a limit of yours; `detail` names the limit and the length. Raise it in stepgate.yaml if such requests are meant.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.5.14", "docs/settings.md, limits"],
};

pub(super) const BODY_UNSUPPORTED: Guide = Guide {
    causes: &[
        "the route takes its token from a form, and something else was posted: JSON, multipart, or another charset",
        "the identity provider answers by another response mode than `form_post`",
    ],
    remedy: &[
        "set `response_mode=form_post` for this client at the identity provider",
        "if the path also takes other bodies, give those a route of their own",
    ],
    hint: "The route reads its token from a form in UTF-8 and got another kind of body. Check `response_mode=form_post` at the identity provider, and give other bodies a route of their own.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.5.16", "OAuth 2.0 Form Post Response Mode"],
};

pub(super) const ORIGIN_REFUSED: Guide = Guide {
    causes: &[
        "a page of another origin had the user's browser send the request: cross-site request forgery, or a front end on another host",
        "the gate is reached under another name than its pages, and `public_url` does not say so",
    ],
    remedy: &[
        "if the other origin is yours, list it under `origins` of that cookie source",
        "if pages and gate have one origin, check `public_url`, and that the proxy before the gate passes `Origin` on",
        "else it did what it is there for",
    ],
    hint: "A cookie came with a changing method from another origin. If that origin is a front end of yours, list it under `origins` of the cookie source; else it was forgery, and refused.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 6454 section 7", "W3C Fetch Metadata Request Headers", "docs/policy.md, a route"],
};

pub(super) const UPSTREAM_UNREACHABLE: Guide = Guide {
    causes: &[
        "the application is down, restarting, or listens at another address than `upstreams` says",
        "its certificate is not trusted, or names another host",
        "it closed the connection in the middle of its answer's head",
    ],
    remedy: &[
        "read the warning `the upstream failed a request` with the same id: `detail` names the address and the error",
        "try that address from where the gate runs",
        "the request was allowed: nothing about policy or token has to change",
    ],
    hint: "The request was allowed and the application could not be reached, or broke off. `detail` has the address and the error; the policy has no part in it.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.6.3", "docs/settings.md, upstreams"],
};

pub(super) const UPSTREAM_TIMEOUT: Guide = Guide {
    causes: &[
        "the application is overloaded, or waits for something itself",
        "the request takes longer by its nature than `timeout` of the upstream or `limits.response_head` allows",
    ],
    remedy: &[
        "look at `stepgate_upstream_answer_seconds` for this upstream: is it all requests, or some",
        "raise `timeout` of the upstream if such answers are meant to take so long",
    ],
    hint: "The request was allowed and the application did not begin its answer in time. See `stepgate_upstream_answer_seconds`; raise `timeout` of the upstream only if it is meant to take so long.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.6.5", "docs/settings.md, upstreams"],
};
