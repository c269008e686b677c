//! The control plane's own metrics and health.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;

use crate::limits::Limit;
use crate::push::Admission;
use crate::store::Store;

/// `/metrics`, `/healthz`, `/readyz`.
pub(super) fn router(store: Arc<dyn Store>, admission: Admission) -> Router {
    let metrics = move || {
        let text = exposition(&*store) + &of_discovery(&admission);
        async move {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
                .into_response()
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
}

fn exposition(store: &dyn Store) -> String {
    let listing = store.everything();
    let mut by_kind: std::collections::BTreeMap<(&str, &str), usize> = Default::default();
    for document in &listing.documents {
        *by_kind.entry((&document.key.group, &document.key.plural)).or_default() += 1;
    }
    let mut text = format!(
        "# HELP leno_store_revision Last committed revision of the store.\n\
         # TYPE leno_store_revision counter\n\
         leno_store_revision {}\n\
         # HELP leno_store_documents Documents in the store.\n\
         # TYPE leno_store_documents gauge\n",
        listing.revision
    );
    for ((group, plural), count) in by_kind {
        text.push_str(&format!(
            "leno_store_documents{{group=\"{group}\",resource=\"{plural}\"}} {count}\n"
        ));
    }
    text
}

/// The xDS ports: who is there, and which limits were reached.
fn of_discovery(admission: &Admission) -> String {
    let (connections, streams) = admission.served();
    let mut text = format!(
        "# HELP leno_xds_connections Connections to the xDS ports.\n\
         # TYPE leno_xds_connections gauge\n\
         leno_xds_connections {connections}\n\
         # HELP leno_xds_streams Discovery streams.\n\
         # TYPE leno_xds_streams gauge\n\
         leno_xds_streams {streams}\n\
         # HELP leno_limits_reached_total How often a limit was reached.\n\
         # TYPE leno_limits_reached_total counter\n"
    );
    for limit in Limit::ALL {
        let (label, count) = (limit.label(), admission.reached(limit));
        text.push_str(&format!("leno_limits_reached_total{{limit=\"{label}\"}} {count}\n"));
    }
    text
}
