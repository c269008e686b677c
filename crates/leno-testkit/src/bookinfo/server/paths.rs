//! Which path of which role does what.

use hyper::header::{HeaderName, HeaderValue, LOCATION, REFERER, SET_COOKIE};
use hyper::{HeaderMap, Method, StatusCode, Uri};

use super::{App, Call, Reply, answer, error, html};
use crate::bookinfo::productpage::{Gather, Gathered, products};
use crate::bookinfo::{ReviewsVersion, Role, details, forward, page, reviews, session};

const END_USER: HeaderName = HeaderName::from_static("end-user");

impl App {
    pub(super) async fn route(&self, call: &Call) -> Reply {
        if call.path == "/health" {
            return self.health();
        }
        match self.workload.role {
            Role::Productpage => self.front(call).await,
            Role::Details => match number(call, "/details/") {
                Some(Ok(id)) => answer(StatusCode::OK, &details::details(id)),
                Some(Err(problem)) => error(StatusCode::BAD_REQUEST, problem),
                None => unknown(call),
            },
            Role::Reviews(version) => match number(call, "/reviews/") {
                Some(Ok(id)) => self.reviews(version, id, call).await,
                Some(Err(problem)) => error(StatusCode::BAD_REQUEST, problem),
                None => unknown(call),
            },
            Role::Ratings => match number(call, "/ratings/") {
                Some(Ok(id)) => self.ratings(id, call),
                Some(Err(problem)) => error(StatusCode::BAD_REQUEST, problem),
                None => unknown(call),
            },
        }
    }

    async fn reviews(&self, version: ReviewsVersion, id: u64, call: &Call) -> Reply {
        let ratings = (&self.caller, self.workload.upstreams.ratings.as_str());
        let headers = forward::passed_on(&call.headers);
        let written = reviews::reviews(version, &self.workload.pod, id, ratings, headers).await;
        let mut reply = answer(StatusCode::OK, &written);
        let label = HeaderValue::from_static(version.label());
        reply.headers_mut().insert(HeaderName::from_static("x-reviews-version"), label);
        reply
    }

    fn ratings(&self, id: u64, call: &Call) -> Reply {
        if call.method != Method::POST {
            return answer(StatusCode::OK, &self.ratings.borrow().read(id));
        }
        match self.ratings.borrow_mut().post(id, &call.body) {
            Ok(ratings) => answer(StatusCode::OK, &ratings),
            Err(problem) => error(StatusCode::BAD_REQUEST, &problem),
        }
    }

    async fn front(&self, call: &Call) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET" | "HEAD", "/" | "/index.html") => {
                html(StatusCode::OK, page::plain("Bookinfo", WELCOME))
            }
            ("GET" | "HEAD", "/productpage") => self.product_page(call).await,
            ("POST", "/login") => sign_in(call),
            ("GET" | "POST", "/logout") => back(call, &session::sign_out()),
            ("GET" | "HEAD", "/api/v1/products") => answer(StatusCode::OK, &products()),
            ("GET" | "HEAD", _) => self.api(call).await,
            _ => unknown(call),
        }
    }

    async fn product_page(&self, call: &Call) -> Reply {
        let gather = self.gather(call);
        // One after the other, as the original does: a trace reads in order.
        let details = gather.details(0).await;
        let reviews = gather.reviews(0).await;
        let user = user(&call.headers);
        html(StatusCode::OK, page::render(user.as_deref(), &details, &reviews))
    }

    /// `/api/v1/products/N`, `.../N/reviews`, `.../N/ratings`.
    async fn api(&self, call: &Call) -> Reply {
        let Some(rest) = call.path.strip_prefix("/api/v1/products/") else {
            return unknown(call);
        };
        let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(id) = id.parse::<u64>() else {
            return error(StatusCode::BAD_REQUEST, "please provide numeric product id");
        };
        let gather = self.gather(call);
        let (status, body): Gathered = match part {
            "" => gather.details(id).await,
            "reviews" => gather.reviews(id).await,
            "ratings" => gather.ratings(id).await,
            _ => return unknown(call),
        };
        answer(status, &body)
    }

    fn gather(&self, call: &Call) -> Gather<'_> {
        let mut headers = forward::passed_on(&call.headers);
        let signed_in = user(&call.headers).and_then(|name| HeaderValue::from_str(&name).ok());
        if let Some(name) = signed_in {
            headers.insert(END_USER, name);
        }
        Gather { caller: &self.caller, upstreams: &self.workload.upstreams, headers }
    }
}

const WELCOME: &str = "A page made by four services. <a href=\"/productpage\">See the book</a>, \
                       or use the API at <a href=\"/api/v1/products\">/api/v1/products</a>.";

/// Whoever signed in; else whoever the caller says it acts for.
fn user(headers: &HeaderMap) -> Option<String> {
    let named = || headers.get(END_USER)?.to_str().ok().map(str::to_owned);
    session::user(headers).or_else(named)
}

fn sign_in(call: &Call) -> Reply {
    let form = String::from_utf8_lossy(&call.body);
    let name = form.split('&').find_map(|pair| pair.strip_prefix("username="));
    match name.and_then(session::sign_in) {
        Some(cookie) => back(call, &cookie),
        None => error(
            StatusCode::BAD_REQUEST,
            "username: up to 64 letters, digits or . - _ @, sent as a form field",
        ),
    }
}

/// Redirects to where the reader was, on this site only.
fn back(call: &Call, cookie: &str) -> Reply {
    let referrer = call.headers.get(REFERER).and_then(|value| value.to_str().ok());
    let path = referrer.and_then(|text| text.parse::<Uri>().ok());
    let path = path.as_ref().map(Uri::path).filter(|path| path.starts_with("/productpage"));
    let mut reply = html(StatusCode::FOUND, String::new());
    let location = HeaderValue::from_str(path.unwrap_or("/productpage"));
    let headers = reply.headers_mut();
    headers.insert(LOCATION, location.unwrap_or(HeaderValue::from_static("/productpage")));
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
    reply
}

/// The product number behind `prefix`; `None` when the path is another.
fn number(call: &Call, prefix: &str) -> Option<Result<u64, &'static str>> {
    let text = call.path.strip_prefix(prefix)?;
    Some(text.parse().map_err(|_| "please provide numeric product ID"))
}

fn unknown(call: &Call) -> Reply {
    error(StatusCode::NOT_FOUND, &format!("nothing at {} {}", call.method, call.path))
}
