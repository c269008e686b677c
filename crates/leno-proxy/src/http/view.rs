//! The received head as the rules see it.

use leno_core::request::RequestView;
use leno_http::{Field, Known, RequestHead};

/// A request head with what the connection adds to it.
pub(super) struct View<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) scheme: &'static str,
}

impl RequestView for View<'_> {
    fn method(&self) -> &[u8] {
        self.head.method_bytes()
    }

    fn path(&self) -> &[u8] {
        self.head.target_bytes()
    }

    fn authority(&self) -> &[u8] {
        self.head.fields().get(Known::Host).unwrap_or_default()
    }

    fn scheme(&self) -> &[u8] {
        self.scheme.as_bytes()
    }

    fn header_values(&self, lower_name: &str) -> impl Iterator<Item = &[u8]> {
        let known = Known::recognize(lower_name.as_bytes());
        let is_it = move |field: &Field<'_>| match known {
            Known::Other => field.name.eq_ignore_ascii_case(lower_name),
            known => field.known == known,
        };
        self.head.fields().iter().filter(is_it).map(|field| field.value)
    }
}
