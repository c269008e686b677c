//! What documents say, as types: the part that translation enforces. Names and meanings are Istio's and Kubernetes'.
//!
//! Documents that passed admission become these; fields that nothing enforces are left out (and warned about by the
//! kind). Everything can be compared and hashed, because it is the key of what was translated from it.

use std::collections::BTreeMap;
use std::time::Duration;

use leno_core::config::{Fraction, StringMatch, StringPattern};
use serde::{Deserialize, Deserializer};

use crate::field::parse_duration;

pub mod core;
pub mod destination_rule;
pub mod peer_authentication;
pub mod service_entry;
pub mod virtual_service;

/// Labels, in order.
pub type Labels = BTreeMap<String, String>;

/// Namespaces that see a document: empty is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct ExportTo(pub Vec<String>);

impl ExportTo {
    /// Whether a document of `home` is seen from `namespace`.
    #[must_use]
    pub fn is_visible(&self, home: &str, namespace: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|to| match to.as_str() {
                "*" => true,
                "." => home == namespace,
                name => name == namespace,
            })
    }
}

/// Whether every label asked for is there.
#[must_use]
pub fn is_subset(asked: &Labels, labels: &Labels) -> bool {
    asked.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// `{exact|prefix|regex: …}`; `{}` is `None`.
fn string_match<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<StringMatch>, D::Error> {
    Ok(RawMatch::deserialize(deserializer)?.into())
}

fn string_matches<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Option<StringMatch>>, D::Error> {
    let raw = Option::<BTreeMap<String, Option<RawMatch>>>::deserialize(deserializer)?;
    let raw = raw.unwrap_or_default().into_iter();
    Ok(raw.map(|(name, value)| (name, value.unwrap_or_default().into())).collect())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawMatch {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
}

impl From<RawMatch> for Option<StringMatch> {
    fn from(raw: RawMatch) -> Self {
        let pattern = match raw {
            RawMatch { exact: Some(text), .. } => StringPattern::Exact(text),
            RawMatch { prefix: Some(text), .. } => StringPattern::Prefix(text),
            RawMatch { regex: Some(text), .. } => StringPattern::Regex(text),
            RawMatch { .. } => return None,
        };
        Some(StringMatch { pattern, ignore_case: false })
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let parsed = parse_duration(&text);
    parsed.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration")))
}

/// `{value: 0.5}` in percent.
fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fraction>, D::Error> {
    #[derive(Deserialize)]
    struct Percent {
        #[serde(default)]
        value: f64,
    }
    let percent = Option::<Percent>::deserialize(deserializer)?;
    Ok(percent.map(|percent| fraction(percent.value)))
}

/// A share in percent; what lies outside 0 to 100 is cut off.
fn fraction(percent: f64) -> Fraction {
    let per_million = (percent.clamp(0.0, 100.0) * 10_000.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    Fraction { per_million: per_million as u32 }
}

/// As [`fraction`], in hundredths of a percent.
fn per_ten_thousand<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let percent = Option::<f64>::deserialize(deserializer)?;
    Ok(percent.map(|percent| fraction(percent).per_million / 100))
}

/// A missing or null value is the default one.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
