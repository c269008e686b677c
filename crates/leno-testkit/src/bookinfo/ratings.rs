//! The stars: five and four unless somebody posted others.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Posted ratings are kept for this many books; the oldest number goes first.
const BOOKS_MAX: usize = 1024;

/// What was posted since the start.
#[derive(Debug, Default)]
pub(super) struct Ratings {
    posted: BTreeMap<u64, Map<String, Value>>,
}

impl Ratings {
    /// The answer to `GET /ratings/N`.
    pub(super) fn read(&self, id: u64) -> Value {
        let default =
            || Map::from_iter([("Reviewer1".into(), 5.into()), ("Reviewer2".into(), 4.into())]);
        json!({ "id": id, "ratings": self.posted.get(&id).cloned().unwrap_or_else(default) })
    }

    /// Takes the body of `POST /ratings/N`: an object of reviewer to stars.
    pub(super) fn post(&mut self, id: u64, body: &[u8]) -> Result<Value, String> {
        let invalid = || r#"please provide valid ratings JSON, as {"Reviewer1": 3}"#.to_owned();
        let posted: Map<String, Value> = serde_json::from_slice(body).map_err(|_| invalid())?;
        if posted.is_empty() || !posted.values().all(Value::is_u64) {
            return Err(invalid());
        }
        self.posted.insert(id, posted);
        while self.posted.len() > BOOKS_MAX {
            self.posted.pop_first();
        }
        Ok(self.read(id))
    }
}

#[cfg(test)]
mod tests {
    use super::Ratings;
    use serde_json::json;

    #[test]
    fn posted_stars_replace_the_usual_ones() {
        let mut ratings = Ratings::default();
        let usual = json!({ "id": 0, "ratings": { "Reviewer1": 5, "Reviewer2": 4 } });
        assert_eq!(ratings.read(0), usual);
        ratings.post(0, br#"{"Reviewer1": 1}"#).unwrap();
        assert_eq!(ratings.read(0), json!({ "id": 0, "ratings": { "Reviewer1": 1 } }));
        assert_eq!(ratings.read(1)["ratings"]["Reviewer2"], 4);
        for wrong in ["", "[]", "{}", r#"{"Reviewer1":"x"}"#] {
            assert!(ratings.post(0, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
