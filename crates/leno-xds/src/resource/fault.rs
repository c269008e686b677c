//! `envoy.extensions.filters.http.fault.v3.HTTPFault`, on the filter and on what overrides it.

use leno_core::config::{FaultAbort, FaultDelay, FaultInjection, Fraction, RouteFault};

use super::{per_filter, value};
use crate::read::{Names, Reader};
use crate::wire::Writer;

pub(crate) const FILTER: &str = "envoy.filters.http.fault";
pub(crate) const TYPE: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";

/// Bounds and statistics of faults.
const HARMLESS: &Names = &[(15, "disable_downstream_cluster_stats")];

/// What a route, virtual host or route configuration says to the filter.
pub(crate) fn per_route(kind: &str, r: &mut Reader<'_, '_>) -> Option<RouteFault> {
    if kind != TYPE {
        r.problem(&format!("is a {kind}; a {TYPE} is expected"));
        r.skip();
        return None;
    }
    Some(RouteFault::Inject(Box::new(decode(r))))
}

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> FaultInjection {
    r.harmless(HARMLESS);
    let share = |r: &mut Reader<'_, '_>, number| {
        r.message(number, "percentage", value::fraction).unwrap_or(Fraction::NEVER)
    };
    let delay = r.message(1, "delay", |r| {
        let fixed = r.duration(3, "fixed_delay");
        if fixed.is_none() {
            r.problem_at("fixed_delay", "is missing");
        }
        FaultDelay { fixed: fixed.unwrap_or_default(), fraction: share(r, 4) }
    });
    let abort = r.message(2, "abort", |r| {
        let status = r.u32(2, "http_status");
        if !(200..600).contains(&status) {
            r.problem_at("http_status", "is not within 200 and 599");
        }
        FaultAbort { status: status as u16, fraction: share(r, 3) }
    });
    FaultInjection { delay, abort }
}

pub(crate) fn write_per_filter(w: &mut Writer, number: u32, fault: &RouteFault) {
    w.message(number, |w| {
        w.string(1, FILTER);
        match fault {
            RouteFault::Inject(fault) => w.any(2, TYPE, |w| encode(w, fault)),
            RouteFault::Disabled => w.any(2, per_filter::FILTER_CONFIG, |w| w.bool(3, true)),
        }
    });
}

pub(crate) fn encode(w: &mut Writer, fault: &FaultInjection) {
    if let Some(delay) = &fault.delay {
        w.message(1, |w| {
            w.duration(3, delay.fixed);
            value::write_fraction(w, 4, delay.fraction);
        });
    }
    if let Some(abort) = &fault.abort {
        w.message(2, |w| {
            w.explicit(2, abort.status.into());
            value::write_fraction(w, 3, abort.fraction);
        });
    }
}
