//! The four kinds of patch. Pure: a document, a patch and a schema in, a document out.

pub(crate) mod apply;
pub(crate) mod merge;
pub(crate) mod strategic;
