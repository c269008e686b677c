//! What two readers wrote; versions 2 and 3 ask ratings for their stars.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::ReviewsVersion;
use super::upstream::Caller;

const REVIEWS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    ),
    (
        "Reviewer2",
        "Absolutely fun and entertaining. The play lacks thematic depth when compared to other \
         plays by Shakespeare.",
    ),
];

impl ReviewsVersion {
    fn color(self) -> Option<&'static str> {
        match self {
            Self::V1 => None,
            Self::V2 => Some("black"),
            Self::V3 => Some("red"),
        }
    }

    /// As in the original, version 3 is the impatient one.
    fn patience(self) -> Duration {
        match self {
            Self::V1 | Self::V2 => Duration::from_secs(10),
            Self::V3 => Duration::from_millis(2500),
        }
    }

    /// `v1`, `v2`, `v3`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

/// The answer to `/reviews/N`. A failing ratings service costs the stars only.
pub(super) async fn reviews(
    version: ReviewsVersion,
    pod: &str,
    id: u64,
    ratings: (&Caller, &str),
    headers: HeaderMap,
) -> Value {
    let stars = match version.color() {
        None => None,
        Some(color) => Some((color, ask(ratings, id, headers, version.patience()).await)),
    };
    let written: Vec<Value> = REVIEWS
        .iter()
        .map(|(reviewer, text)| {
            let mut review = json!({ "reviewer": reviewer, "text": text });
            if let Some((color, answer)) = &stars {
                review["rating"] = rating(answer.as_ref(), reviewer, color);
            }
            review
        })
        .collect();
    // The original sends the id as text and the name of no cluster as "null".
    json!({ "id": id.to_string(), "podname": pod, "clustername": "null", "reviews": written })
}

async fn ask(
    (caller, authority): (&Caller, &str),
    id: u64,
    headers: HeaderMap,
    patience: Duration,
) -> Option<Value> {
    match caller.get(authority, &format!("/ratings/{id}"), headers, patience).await {
        Ok(answer) if answer.status == StatusCode::OK => serde_json::from_slice(&answer.body).ok(),
        Ok(answer) => {
            eprintln!("ratings answered {}", answer.status);
            None
        }
        Err(error) => {
            eprintln!("ratings: {error}");
            None
        }
    }
}

fn rating(answer: Option<&Value>, reviewer: &str, color: &str) -> Value {
    match answer.and_then(|answer| answer["ratings"][reviewer].as_u64()) {
        Some(stars) => json!({ "stars": stars, "color": color }),
        None => json!({ "error": "Ratings service is currently unavailable" }),
    }
}
