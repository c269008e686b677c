//! Who is let in at the front door, and to what. Asked before every request there.
//!
//! The Kubernetes-style API always wants the token. What is only read, the page and the management API, is open to this
//! machine: to a connection that arrived on loopback, asked for by a loopback name (a page of another site whose name
//! server lies asks by its own), from no other site's page. Anybody else shows the token, or the cookie that a browser
//! gets for it, over TLS.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION,
    ORIGIN, SET_COOKIE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::apiserver::Failure;
use crate::front_door::Arrival;

/// A browser's proof that it showed the token; only ever sent back over TLS (`__Host-`).
const COOKIE_NAME: &str = "__Host-leno-session";
/// Far more than a token in a form.
const FORM_BYTES_MAX: usize = 4096;

/// Nothing but the form, and it goes nowhere else.
const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'";
const FORM: &str = "<!doctype html><meta charset=utf-8><title>Leno</title>\
    <form method=post action=/login><p><label>Token, from the control plane's kubeconfig: \
    <input name=token type=password autofocus></label> <button>Open</button></form>";

/// What opens the door.
#[derive(Debug)]
pub(crate) struct Guard {
    token: String,
    /// What the cookie holds: made from the token, so that a new token ends every session.
    session: String,
}

impl Guard {
    pub(crate) fn new(token: String) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let tag = hmac::sign(&key, b"leno page session");
        let session = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { token, session }
    }

    /// Puts itself before everything in `router`.
    pub(crate) fn before(self, router: Router) -> Router {
        let guard = Arc::new(self);
        let login = Router::new().route("/login", post(login)).with_state(Arc::clone(&guard));
        let unknown = || async { Failure::no_such_page().into_response() };
        router.merge(login).fallback(unknown).layer(middleware::from_fn_with_state(guard, check))
    }

    fn credentials(&self, headers: &HeaderMap) -> Credentials {
        if let Some(sent) = headers.get(AUTHORIZATION) {
            let sent = sent.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
            return if is_same(sent, &self.token) {
                Credentials::Token
            } else {
                Credentials::Wrong
            };
        }
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|all| all.to_str().ok());
        let mut values = cookies.flat_map(|all| all.split(';')).filter_map(|one| {
            let (name, value) = one.trim().split_once('=')?;
            (name == COOKIE_NAME).then_some(value)
        });
        if values.any(|value| is_same(value.as_bytes(), &self.session)) {
            return Credentials::Session;
        }
        Credentials::None
    }
}

/// Takes as long for a nearly right one as for a wrong one.
fn is_same(sent: &[u8], wanted: &str) -> bool {
    constant_time::verify_slices_are_equal(sent, wanted.as_bytes()).is_ok()
}

/// What a request asks for, as far as the door is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Health and version.
    Open,
    /// The page, its files and its form.
    Page,
    /// `/leno/v1`.
    Management,
    /// Everything else: reads and writes of documents.
    Kubernetes,
}

impl Place {
    fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/livez" | "/readyz" | "/version" => Self::Open,
            "/" | "/login" => Self::Page,
            _ if path.starts_with("/assets/") => Self::Page,
            _ if path.starts_with("/leno/v1/") => Self::Management,
            _ => Self::Kubernetes,
        }
    }
}

/// What was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    None,
    Wrong,
    Token,
    Session,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// 401
    Unauthorized,
    /// 403, and why.
    Forbidden(&'static str),
    /// To the same page over TLS.
    Secure,
    /// The form that takes the token.
    Form,
}

const OTHER_SITE: &str = "a page of another site may not ask for this";
const OTHER_NAME: &str =
    "without a token this is only answered by a loopback name or address, such as 127.0.0.1";
const PLAINTEXT: &str = "from elsewhere than this machine only https is answered";

/// The rules, in their order. `host` and `origin` are the headers.
fn judge(
    place: Place,
    arrival: Arrival,
    (host, origin): (&str, Option<&str>),
    shown: Credentials,
) -> Verdict {
    use Credentials::{Session, Token, Wrong};
    if place == Place::Open {
        return Verdict::Pass;
    }
    if origin.is_some_and(|origin| !is_own(origin, host, arrival)) {
        return Verdict::Forbidden(OTHER_SITE);
    }
    if !arrival.is_local && !arrival.is_tls {
        let page = place == Place::Page;
        return if page { Verdict::Secure } else { Verdict::Forbidden(PLAINTEXT) };
    }
    match (place, shown) {
        (Place::Open, _) | (_, Token) => Verdict::Pass,
        (_, Wrong) => Verdict::Unauthorized,
        // A cookie comes along by itself: it reads, it does not write.
        (Place::Kubernetes, _) => Verdict::Unauthorized,
        (Place::Page | Place::Management, Session) => Verdict::Pass,
        (Place::Page, _) if arrival.is_local => Verdict::Pass,
        (Place::Page, _) => Verdict::Form,
        (Place::Management, _) if !arrival.is_local => Verdict::Unauthorized,
        (Place::Management, _) if is_loopback(host) => Verdict::Pass,
        (Place::Management, _) => Verdict::Forbidden(OTHER_NAME),
    }
}

/// Whether a page at `origin` is one that we served under `host`.
fn is_own(origin: &str, host: &str, arrival: Arrival) -> bool {
    let scheme = if arrival.is_tls { "https://" } else { "http://" };
    origin.strip_prefix(scheme).is_some_and(|name| name.eq_ignore_ascii_case(host))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // HTTP/2 says it in the request line.
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = text(HOST).or(authority).unwrap_or_default().to_owned();
    // Without its mark a request came from nowhere we know.
    let elsewhere = Arrival { is_local: false, is_tls: false };
    let arrival = request.extensions().get::<Arrival>().copied().unwrap_or(elsewhere);
    let place = Place::of(request.uri().path());
    let verdict = judge(place, arrival, (&host, text(ORIGIN)), guard.credentials(headers));
    match verdict {
        Verdict::Pass => next.run(request).await,
        // How credentials come to be: it is sent by who has none yet.
        Verdict::Form if request.method() == Method::POST => next.run(request).await,
        Verdict::Form => form(StatusCode::UNAUTHORIZED),
        Verdict::Unauthorized => {
            let mut answer = Failure::unauthorized().into_response();
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            answer
        }
        Verdict::Forbidden(why) => Failure::refused(why).into_response(),
        Verdict::Secure => {
            let to = format!("https://{host}{}", request.uri().path());
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response()
        }
    }
}

fn form(status: StatusCode) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (status, headers, FORM).into_response()
}

/// `token=…` becomes the cookie, and the page follows.
async fn login(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    let Ok(body) = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await else {
        return form(StatusCode::PAYLOAD_TOO_LARGE);
    };
    // Tokens are hexadecimal: nothing in them is escaped.
    let token = body.strip_prefix(b"token=").unwrap_or_default();
    if !is_same(token.trim_ascii(), &guard.token) {
        return form(StatusCode::UNAUTHORIZED);
    }
    let cookie =
        format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict", guard.session);
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())]).into_response()
}

#[cfg(test)]
mod tests;
