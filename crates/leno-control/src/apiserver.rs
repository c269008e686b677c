//! The Kubernetes-style API over the store: `/api`, `/apis`, `/openapi`, `/version`, health. Who may ask is `guard`'s.
//!
//! A request becomes a [`path::Target`] and a [`query::Query`]; reading is in `read` and `watch`, writing in `write` and
//! `delete`. Everything about kinds comes from `leno-api`'s registry: a new kind needs nothing here.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::sync::watch as signal;

mod admission;
mod body;
pub(crate) mod collector;
mod delete;
mod discovery;
mod field_set;
mod managed_fields;
mod metadata;
mod openapi;
mod patch;
mod path;
mod protobuf;
mod query;
mod read;
pub(crate) mod seed;
mod selector;
mod service_address;
mod status;
mod table;
mod token;
mod watch;
mod write;

use crate::identity::Identity;
use crate::store::Store;
use path::{Part, Target};
use query::Query;
pub(crate) use status::Failure;
use status::json_response;
use table::{Form, RowObject, View};
use write::Call;

/// What requests are answered from.
pub(crate) struct Api {
    /// Every document.
    pub(crate) store: Arc<dyn Store>,
    /// Mints tokens for service accounts.
    pub(crate) identity: Arc<Identity>,
    /// Turns true when the server shuts down; watches end then.
    pub(crate) stop: signal::Receiver<bool>,
    /// Where the front door is, for clients that ask.
    pub(crate) address: String,
}

/// The routes of the API.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for place in ["/api", "/apis", "/openapi/v2", "/openapi/v3", "/version"] {
        router = router.route(place, any(answered));
    }
    for place in ["/api/{*rest}", "/apis/{*rest}", "/openapi/v3/{*rest}"] {
        router = router.route(place, any(answered));
    }
    for place in ["/healthz", "/livez", "/readyz"] {
        router = router.route(place, any(|| async { "ok" }));
    }
    router.with_state(api)
}

async fn answered(State(api): State<Arc<Api>>, request: Request) -> Response {
    answer(&api, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Arc<Api>, request: Request) -> Result<Response, Failure> {
    let path = request.uri().path().to_owned();
    if let Some(page) = page(api, request.headers(), &path) {
        return if request.method() == Method::GET {
            page
        } else {
            Err(Failure::method_not_allowed("this is only read"))
        };
    }
    if let Some(account) = token::account_of(&path) {
        return token::create(api, &account, request).await;
    }
    let target = path::parse(&path).ok_or_else(Failure::no_such_page)?;
    let query = Query::parse(request.uri())?;
    let form = Form::accepted(request.headers())?;
    let view = View::new(&target, form, RowObject::parse(query.include_object.as_deref())?);
    if *request.method() == Method::GET {
        return read(api, &target, query, view);
    }
    let (parts, body) = request.into_parts();
    let mut call = Call {
        store: &*api.store,
        target: &target,
        query: &query,
        headers: &parts.headers,
        warnings: Vec::new(),
    };
    let is_one = target.name.is_some();
    let (code, document) = match parts.method {
        Method::POST => call.create(body).await.map(|(code, made)| (code, view.one(&made)))?,
        Method::PUT => call.update(body).await.map(|(code, made)| (code, view.one(&made)))?,
        Method::PATCH => call.patch(body).await.map(|(code, made)| (code, view.one(&made)))?,
        Method::DELETE if target.part == Part::Status => {
            return Err(Failure::method_not_allowed("a status is not deleted by itself"));
        }
        Method::DELETE if is_one => (StatusCode::OK, call.delete(body, &view).await?),
        Method::DELETE => (StatusCode::OK, call.delete_collection(body, &view).await?),
        _ => {
            let why = "the server does not allow this method on the requested resource";
            return Err(Failure::method_not_allowed(why));
        }
    };
    let mut response = json_response(code, &document);
    for warning in &call.warnings {
        if let Some(value) = warning_header(warning) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

fn read(api: &Api, target: &Target, query: Query, view: View) -> Result<Response, Failure> {
    if target.name.is_some() {
        return read::get(&*api.store, target, &view)
            .map(|document| json_response(StatusCode::OK, &document));
    }
    if query.watch {
        return watch::watch(&api.store, target, query, view, api.stop.clone());
    }
    let list = read::list(&*api.store, target, &query, &view)?;
    Ok(json_response(StatusCode::OK, &list))
}

/// `299 - "TEXT"`, as kubectl prints it.
fn warning_header(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push(' '),
            letter => quoted.push(letter),
        }
    }
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}

/// Pages that say what is served; `None` when the path is none of them.
fn page(api: &Api, headers: &HeaderMap, path: &str) -> Option<Result<Response, Failure>> {
    let found = |page: Option<Value>| {
        page.map(|page| json_response(StatusCode::OK, &page)).ok_or_else(Failure::no_such_page)
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let answer = match segments.as_slice() {
        ["version"] => found(Some(version())),
        ["api"] if wants_aggregated(headers) => Ok(aggregated(&discovery::aggregated_core())),
        ["apis"] if wants_aggregated(headers) => Ok(aggregated(&discovery::aggregated_groups())),
        ["api"] => found(Some(discovery::core_versions(&api.address))),
        ["apis"] => found(Some(discovery::group_list())),
        ["api", version] => found(discovery::resource_list("", version)),
        ["apis", group] => found(discovery::group(group)),
        ["apis", group, version] => found(discovery::resource_list(group, version)),
        ["openapi", "v3"] => found(Some(openapi::index())),
        ["openapi", "v3", rest @ ..] => openapi_page(&rest.join("/")),
        ["openapi", "v2"] => {
            Ok(([(header::CONTENT_TYPE, openapi::v2::MEDIA_TYPE)], openapi::v2::document())
                .into_response())
        }
        ["openapi", ..] => Err(Failure::no_such_page()),
        _ => return None,
    };
    Some(answer)
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.unwrap_or("").split(',').any(|media| {
        media.contains("as=APIGroupDiscoveryList") && media.split(';').any(|p| p.trim() == "v=v2")
    })
}

fn aggregated(document: &Value) -> Response {
    let mut response = json_response(StatusCode::OK, document);
    let kind = HeaderValue::from_static(discovery::AGGREGATED);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn openapi_page(name: &str) -> Result<Response, Failure> {
    let (document, hash) = openapi::page(name).ok_or_else(Failure::no_such_page)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::ETAG, format!("\"{hash}\"")),
        (header::CACHE_CONTROL, "no-cache, private".to_owned()),
    ];
    Ok((headers, document).into_response())
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "32",
        "gitVersion": format!("v1.32.0+leno.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
