//! What is wrong, or only half right, about one document: data that the API server, the command and the status print.

use std::fmt;

use serde::Serialize;

/// One thing wrong with a document; the document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, as in `spec.http[0].route[1].weight`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Which kind of mistake, in Kubernetes' words.
    pub cause: Cause,
}

/// `Status.details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Kubernetes' words")]
pub enum Cause {
    FieldValueInvalid,
    FieldValueRequired,
    FieldValueNotSupported,
    FieldValueDuplicate,
    FieldValueTypeInvalid,
    FieldValueForbidden,
    FieldValueTooLong,
}

impl Cause {
    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldValueInvalid => "FieldValueInvalid",
            Self::FieldValueRequired => "FieldValueRequired",
            Self::FieldValueNotSupported => "FieldValueNotSupported",
            Self::FieldValueDuplicate => "FieldValueDuplicate",
            Self::FieldValueTypeInvalid => "FieldValueTypeInvalid",
            Self::FieldValueForbidden => "FieldValueForbidden",
            Self::FieldValueTooLong => "FieldValueTooLong",
        }
    }

    /// How Kubernetes opens the message of such a cause.
    fn lead(self) -> &'static str {
        match self {
            Self::FieldValueInvalid | Self::FieldValueTypeInvalid => "Invalid value",
            Self::FieldValueRequired => "Required value",
            Self::FieldValueNotSupported => "Unsupported value",
            Self::FieldValueDuplicate => "Duplicate value",
            Self::FieldValueForbidden => "Forbidden",
            Self::FieldValueTooLong => "Too long",
        }
    }
}

impl Problem {
    /// A problem at `field`.
    #[must_use]
    pub fn new(cause: Cause, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), cause }
    }

    /// The message as Kubernetes puts it into a cause: `Invalid value: …`.
    #[must_use]
    pub fn cause_message(&self) -> String {
        format!("{}: {}", self.cause.lead(), self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.cause.lead(), self.message)
    }
}

/// A field that is accepted but has no effect (yet), or not the effect one might expect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// Where.
    pub field: String,
    /// Why, and what to do instead where there is something.
    pub reason: String,
}

impl Warning {
    /// What a field gets that the schema knows and nothing enforces.
    pub const NOT_ENFORCED: &'static str = "accepted but not enforced by this version of Leno";

    /// A warning at `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}
