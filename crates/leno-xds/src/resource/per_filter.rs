//! `typed_per_filter_config`: what a route configuration, a virtual host or a route says in place of a filter's own
//! settings. The fault and the authorization filter can be spoken to.

use leno_core::config::{Route, RouteAuthorization, RouteFault};

use super::{authorization, fault};
use crate::read::{Field, Reader};

pub(crate) const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// What is said to each filter.
#[derive(Default)]
pub(crate) struct PerFilter {
    pub(crate) fault: Option<RouteFault>,
    pub(crate) authorization: Option<RouteAuthorization>,
}

impl PerFilter {
    pub(crate) fn decode(r: &mut Reader<'_, '_>, number: u32) -> Self {
        let mut said = Self::default();
        r.entries(number, "typed_per_filter_config", |filter, field| {
            match filter {
                fault::FILTER => said.fault = one(field, RouteFault::Disabled, fault::per_route),
                authorization::FILTER => {
                    let disabled = RouteAuthorization::Disabled;
                    said.authorization = one(field, disabled, authorization::per_route);
                }
                other => absent(other, field),
            }
            None::<()>
        });
        said
    }

    /// What a level above says holds for every route that says nothing; the model has it on the routes alone.
    pub(crate) fn hand_down(&self, routes: &mut [Route]) {
        for route in routes {
            if route.fault.is_none() {
                route.fault.clone_from(&self.fault);
            }
            if route.authorization.is_none() {
                route.authorization.clone_from(&self.authorization);
            }
        }
    }
}

/// The settings themselves, or a `FilterConfig` with them.
fn one<T>(
    field: Field<'_, '_>,
    disabled: T,
    settings: fn(&str, &mut Reader<'_, '_>) -> Option<T>,
) -> Option<T> {
    field.any(|kind, r| match kind {
        FILTER_CONFIG => {
            r.harmless(&[(2, "is_optional")]);
            let said = r.any(1, "config", settings).flatten();
            if r.bool(3, "disabled") { Some(disabled) } else { said }
        }
        kind => settings(kind, r),
    })?
}

/// A filter that is not there is easily disabled; ours of Istio's names always run.
fn absent(filter: &str, field: Field<'_, '_>) {
    let what = format!(
        "is not supported; {} and {} are, and others if they are disabled",
        fault::FILTER,
        authorization::FILTER
    );
    field.any(|kind, r| {
        let is_absent = !filter.starts_with("istio.") && kind == FILTER_CONFIG;
        if is_absent && r.bool(3, "disabled") {
            r.leave_out("is not there");
        } else {
            r.problem(&what);
            r.skip();
        }
    });
}
