//! What `/certs` of the admin endpoint answers, in Envoy's form.

use std::time::{Duration, SystemTime};

use leno_identity::CertificateFacts;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::tls::Secrets;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Our certificate and the roots, without keys; an empty list before the first SVID.
#[must_use]
pub fn certs(secrets: &Secrets, now: SystemTime) -> Value {
    let (Some(svid), Some(bundle)) = (secrets.svid(), secrets.bundle()) else {
        return json!({ "certificates": [] });
    };
    let roots = bundle.certificates().iter().filter_map(|root| CertificateFacts::parse(root).ok());
    let roots: Vec<Value> = roots.map(|facts| entry(&facts, "ROOTCA", now)).collect();
    let chain = [entry(svid.facts(), "default", now)];
    json!({ "certificates": [{ "ca_cert": roots, "cert_chain": chain }] })
}

fn entry(facts: &CertificateFacts, name: &str, now: SystemTime) -> Value {
    let names = facts.uris.iter().map(|uri| json!({ "uri": uri }));
    let dns = facts.dns_names.iter().map(|name| json!({ "dns": name }));
    let left = facts.not_after.duration_since(now).unwrap_or_default();
    json!({
        "path": name,
        "serial_number": facts.serial.replace(':', ""),
        "subject_alt_names": names.chain(dns).collect::<Vec<_>>(),
        "days_until_expiration": (left.as_secs() / DAY.as_secs()).to_string(),
        "valid_from": text(facts.not_before),
        "expiration_time": text(facts.not_after),
    })
}

fn text(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}
