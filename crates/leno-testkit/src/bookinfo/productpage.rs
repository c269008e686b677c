//! The front: gathers details and reviews for the page and the JSON API.
//!
//! The original's deliberate flaw is kept: reviews are asked for twice with
//! three seconds' patience each, which a delay injected further down exposes.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Upstreams;
use super::upstream::{Answer, CallError, Caller};

const PATIENCE: Duration = Duration::from_secs(3);
const REVIEWS_ATTEMPTS: usize = 2;

pub(super) const TITLE: &str = "The Comedy of Errors";
pub(super) const DESCRIPTION: &str = "<a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">Wikipedia Summary</a>: The \
     Comedy of Errors is one of <b>William Shakespeare's</b> early plays. It is his shortest and \
     one of his most farcical comedies, with a major part of the humour coming from slapstick and \
     mistaken identity, in addition to puns and word play.";

/// What a service behind the page said: its status, and its JSON or an error.
pub(super) type Gathered = (StatusCode, Value);

/// The answer to `/api/v1/products`.
pub(super) fn products() -> Value {
    json!([{ "id": 0, "title": TITLE, "descriptionHtml": DESCRIPTION }])
}

/// One request's view of the services behind.
pub(super) struct Gather<'a> {
    pub(super) caller: &'a Caller,
    pub(super) upstreams: &'a Upstreams,
    pub(super) headers: HeaderMap,
}

impl Gather<'_> {
    pub(super) async fn details(&self, id: u64) -> Gathered {
        let answer = self.get(&self.upstreams.details, &format!("/details/{id}")).await;
        judge(answer, "product details")
    }

    pub(super) async fn reviews(&self, id: u64) -> Gathered {
        let path = format!("/reviews/{id}");
        let mut last = self.get(&self.upstreams.reviews, &path).await;
        for _ in 1..REVIEWS_ATTEMPTS {
            if last.as_ref().is_ok_and(|answer| answer.status == StatusCode::OK) {
                break;
            }
            last = self.get(&self.upstreams.reviews, &path).await;
        }
        judge(last, "product reviews")
    }

    pub(super) async fn ratings(&self, id: u64) -> Gathered {
        let answer = self.get(&self.upstreams.ratings, &format!("/ratings/{id}")).await;
        judge(answer, "product ratings")
    }

    async fn get(&self, authority: &str, path: &str) -> Result<Answer, CallError> {
        self.caller.get(authority, path, self.headers.clone(), PATIENCE).await
    }
}

fn judge(answer: Result<Answer, CallError>, what: &str) -> Gathered {
    let (status, said) = match answer {
        Ok(answer) if answer.status == StatusCode::OK => {
            match serde_json::from_slice(&answer.body) {
                Ok(json) => return (StatusCode::OK, json),
                Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
            }
        }
        Ok(answer) => (answer.status, format!("status {}", answer.status)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    eprintln!("{what}: {said}");
    let sorry = format!("Sorry, {what} are currently unavailable for this book.");
    (status, json!({ "error": sorry }))
}
