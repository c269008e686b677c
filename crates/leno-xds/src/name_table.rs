//! Istio's name discovery (NDS): which names the mesh answers, for the DNS proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use prost::Message;

/// The one resource of its type has this name.
pub const NAME_TABLE: &str = "nametable";

/// Every service a proxy can see, by full name.
pub type NameTable = BTreeMap<String, NameEntry>;

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameEntry {
    /// Its virtual addresses, or those of its endpoints when it is headless.
    pub addresses: Vec<IpAddr>,
    /// `reviews`, when the name is a service of a namespace; or empty.
    pub short_name: String,
    /// The namespace that `short_name` is in; or empty.
    pub namespace: String,
}

/// `istio.networking.nds.v1.NameTable`
#[derive(Clone, PartialEq, Message)]
struct WireTable {
    #[prost(btree_map = "string, message", tag = "1")]
    table: BTreeMap<String, WireEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct WireEntry {
    #[prost(string, repeated, tag = "1")]
    ips: Vec<String>,
    #[prost(string, tag = "2")]
    registry: String,
    #[prost(string, tag = "3")]
    shortname: String,
    #[prost(string, tag = "4")]
    namespace: String,
}

/// The table as a resource.
#[must_use]
pub fn encode_name_table(table: &NameTable) -> Vec<u8> {
    let entry = |(host, entry): (&String, &NameEntry)| {
        let wire = WireEntry {
            ips: entry.addresses.iter().map(ToString::to_string).collect(),
            registry: "Kubernetes".to_owned(),
            shortname: entry.short_name.clone(),
            namespace: entry.namespace.clone(),
        };
        (host.clone(), wire)
    };
    WireTable { table: table.iter().map(entry).collect() }.encode_to_vec()
}

/// Reads a table; what is not an address is left out.
///
/// # Errors
/// When the bytes are no name table.
pub fn decode_name_table(bytes: &[u8]) -> Result<NameTable, prost::DecodeError> {
    let entry = |(host, wire): (String, WireEntry)| {
        let addresses = wire.ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        (host, NameEntry { addresses, short_name: wire.shortname, namespace: wire.namespace })
    };
    Ok(WireTable::decode(bytes)?.table.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_the_wire() {
        let entry = NameEntry {
            addresses: vec!["240.240.0.1".parse().unwrap(), "2001:2::1".parse().unwrap()],
            short_name: "reviews".into(),
            namespace: "default".into(),
        };
        let table = NameTable::from([("reviews.default.svc.cluster.local".into(), entry)]);
        assert_eq!(decode_name_table(&encode_name_table(&table)).unwrap(), table);
    }
}
