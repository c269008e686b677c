//! One admission, many who ask.

use std::net::IpAddr;

use leno_identity::SpiffeId;

use super::{Admission, Connection};
use crate::limits::{self, DiscoveryLimits, Limit};

fn four() -> Admission {
    Admission::new(DiscoveryLimits { connections: 4, ..DiscoveryLimits::USUAL })
}

#[test]
fn one_address_leaves_places_for_others() {
    let admission = four();
    let from = |address: &str| admission.connect(address.parse().unwrap()).unwrap();
    let refused = |connection: &Connection| connection.refusal().is_some();
    let near = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(from);
    assert!(!near.iter().any(|connection| refused(connection)));
    let fourth = from("2001:db8::ffff");
    assert!(fourth.refusal().unwrap().message().contains("2001:db8:: has 3 connections"));
    let far = from("::ffff:192.0.2.1");
    assert!(!refused(&far), "one place was left");
    assert!(from("192.0.2.2").refusal().unwrap().message().contains("has 4 connections"));
    assert_eq!(admission.served(), (4, 0));
    drop((near, far));
    assert_eq!(admission.served(), (0, 0));
    assert!(!refused(&from("2001:db8::ffff")));
    assert_eq!(admission.reached(Limit::PerAddress), 1);
    assert_eq!(admission.reached(Limit::Connections), 1);
}

#[test]
fn those_who_are_only_told_so_are_bounded_too() {
    let admission = four();
    let peer = |number: u8| IpAddr::from([192, 0, 2, number]);
    let all: Vec<_> = (0..200).filter_map(|number| admission.connect(peer(number))).collect();
    assert_eq!(all.len(), 4 + limits::REFUSED_AT_ONCE);
    assert_eq!(admission.reached(Limit::Connections), 200 - 4);
    drop(all);
    assert!(admission.connect(peer(0)).unwrap().refusal().is_none());
}

#[test]
fn one_identity_leaves_places_for_others() {
    let admission = four();
    let id = |name: &str| {
        let domain = "cluster.local".parse().unwrap();
        SpiffeId::of_workload(&domain, "default", name).unwrap()
    };
    let (many, other) = (id("many"), id("other"));
    let held: Vec<_> = (0..3).map(|_| admission.open(None, Some(&many)).unwrap()).collect();
    let refused = admission.open(None, Some(&many)).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("default/sa/many has 3"), "{refused}");
    assert_eq!(admission.served(), (0, 3));
    drop(admission.open(None, Some(&other)).unwrap());
    drop(held);
    drop(admission.open(None, Some(&many)).unwrap());
    assert_eq!((admission.served(), admission.reached(Limit::PerIdentity)), ((0, 0), 1));
}
