//! `envoy.config.accesslog.v3.AccessLog`: where records go, and what a line looks like.

use std::collections::BTreeMap;

use serde::Serialize;

/// Where access records are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AccessLog {
    /// A file's path; `/dev/stdout` is the usual one.
    pub path: String,
    /// What a line looks like.
    pub format: LogFormat,
}

/// `SubstitutionFormatString`: what a line of an access log looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum LogFormat {
    /// JSON with Istio's fields, where nothing is said.
    #[default]
    Default,
    /// Text with command operators; it ends its lines itself.
    Text {
        /// The text.
        text: String,
        /// Write nothing, and not `-`, for what an exchange does not have.
        omit_empty: bool,
    },
    /// One JSON object a line, with command operators in its texts.
    Json {
        /// An object.
        fields: JsonTemplate,
        /// Leave out keys, and do not say `null`, for what an exchange does not have.
        omit_empty: bool,
    },
}

/// JSON whose texts hold command operators. Keys are written in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "JSON's own words")]
pub enum JsonTemplate {
    Object(BTreeMap<String, Self>),
    List(Vec<Self>),
    Text(String),
    /// As JSON writes it.
    Number(String),
    Bool(bool),
    Null,
}
