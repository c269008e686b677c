//! Configuration from arbitrary bytes, as xDS resources or as a bootstrap file: every problem is told, nothing panics,
//! what was accepted is written and read back the same, and what compiles answers requests.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use leno_core::config::Discovery;
use leno_core::endpoint::EndpointSet;
use leno_core::request::Call;
use leno_core::snapshot::{Resources, Snapshot};
use leno_xds::static_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&form, input)) = data.split_first() else { return };
    let mut resources = Resources::default();
    if form % 2 == 0 {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(file) = static_file::parse(text) else { return };
        for listener in file.value.listeners {
            keep_listener(&mut resources, listener);
        }
        for cluster in file.value.clusters {
            keep_cluster(&mut resources, cluster);
        }
    } else {
        records(input, &mut resources);
    }
    compile(&resources);
});

/// Each record is a type, a length of two bytes and so many bytes of a resource.
fn records(mut input: &[u8], resources: &mut Resources) {
    while let [kind, high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, after) = rest.split_at(length);
        input = after;
        match kind % 4 {
            0 => {
                if let Ok(read) = leno_xds::decode_listener(bytes) {
                    keep_listener(resources, read.value);
                }
            }
            1 => {
                if let Ok(read) = leno_xds::decode_route(bytes) {
                    let again = leno_xds::decode_route(&leno_xds::encode_route(&read.value));
                    assert_eq!(again.expect("what we write is valid").value, read.value);
                    resources.routes.insert(read.value.name.clone(), Arc::new(read.value));
                }
            }
            2 => {
                if let Ok(read) = leno_xds::decode_cluster(bytes) {
                    keep_cluster(resources, read.value);
                }
            }
            _ => {
                if let Ok(read) = leno_xds::decode_endpoints(bytes) {
                    let again =
                        leno_xds::decode_endpoints(&leno_xds::encode_endpoints(&read.value));
                    assert_eq!(again.expect("what we write is valid").value, read.value);
                }
            }
        }
    }
}

fn keep_listener(resources: &mut Resources, listener: leno_core::config::Listener) {
    let again = leno_xds::decode_listener(&leno_xds::encode_listener(&listener));
    assert_eq!(again.expect("what we write is valid").value, listener);
    resources.listeners.insert(listener.name.clone(), Arc::new(listener));
}

fn keep_cluster(resources: &mut Resources, cluster: leno_core::config::Cluster) {
    let again = leno_xds::decode_cluster(&leno_xds::encode_cluster(&cluster));
    assert_eq!(again.expect("what we write is valid").value, cluster);
    resources.clusters.insert(cluster.name.clone(), Arc::new(cluster));
}

fn compile(resources: &Resources) {
    let snapshot = match Snapshot::compile(resources, None) {
        Ok(snapshot) => snapshot,
        Err(problems) => return assert!(!problems.is_empty(), "a refusal says why"),
    };
    let again =
        Snapshot::compile(resources, Some(&snapshot)).expect("what compiled compiles again");
    assert_eq!(again.clusters().len(), snapshot.clusters().len());
    let call = Call::get("reviews.default.svc.cluster.local:9080", "/reviews/0?a=b")
        .with_header("end-user", "jason");
    for table in snapshot.route_tables() {
        // Either answer is right; that there is one is what is checked.
        let _ = table.route(&call);
    }
    for cluster in snapshot.clusters() {
        if let Discovery::Static(assignment) = &cluster.source().discovery {
            let source = Arc::new(assignment.clone());
            let _ = EndpointSet::compile(cluster, &source, None, Instant::now());
        }
    }
}
