//! `envoy.extensions.filters.http.rbac.v3`, `envoy.extensions.filters.network.rbac.v3` and `envoy.config.rbac.v3`: who
//! may do what.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;

use super::{HeaderMatch, StringMatch};

/// What one authorization filter checks. The default checks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Authorization {
    /// These decide; `None` lets everything pass.
    pub rules: Option<AuthorizationRules>,
    /// These are counted and decide nothing.
    pub shadow_rules: Option<AuthorizationRules>,
    /// Prefix in the statistics of `rules`, to tell several filters apart.
    pub rules_stat_prefix: String,
    /// Prefix in the statistics of `shadow_rules`.
    pub shadow_rules_stat_prefix: String,
}

/// `envoy.config.rbac.v3.RBAC`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AuthorizationRules {
    /// What follows from a policy that applies.
    pub action: AuthorizationAction,
    /// By name; they are asked in the order of their names.
    pub policies: BTreeMap<String, Policy>,
}

/// `RBAC.Action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum AuthorizationAction {
    /// What no policy applies to is denied.
    #[default]
    Allow,
    /// What a policy applies to is denied.
    Deny,
    /// Nothing is denied.
    Log,
}

/// Applies where one of the permissions and one of the principals does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Policy {
    /// What is asked for; at least one.
    pub permissions: Vec<Permission>,
    /// Who asks; at least one.
    pub principals: Vec<Principal>,
}

/// `envoy.config.rbac.v3.Permission`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Permission {
    /// Everything.
    Any,
    /// All of these (`and_rules`).
    And(Vec<Self>),
    /// One of these (`or_rules`).
    Or(Vec<Self>),
    /// Not this (`not_rule`).
    Not(Box<Self>),
    /// A header of the request; `:path` is with the query.
    Header(HeaderMatch),
    /// The path without query, as routing reads it.
    UrlPath(StringMatch),
    /// The address the connection was for.
    DestinationIp(IpNet),
    /// Its port.
    DestinationPort(u16),
    /// Its port is in `start..end`.
    DestinationPortRange {
        /// First port that matches.
        start: u32,
        /// First port beyond.
        end: u32,
    },
    /// SNI; empty where there was none.
    RequestedServerName(StringMatch),
}

/// `envoy.config.rbac.v3.Principal`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Principal {
    /// Everybody.
    Any,
    /// All of these (`and_ids`).
    And(Vec<Self>),
    /// One of these (`or_ids`).
    Or(Vec<Self>),
    /// Not this (`not_id`).
    Not(Box<Self>),
    /// The SPIFFE id that the peer proved; `None` is any.
    Authenticated(Option<StringMatch>),
    /// The connection's peer; what a PROXY protocol header says counts.
    SourceIp(IpNet),
    /// The connection's peer, whatever a PROXY protocol header says.
    DirectRemoteIp(IpNet),
    /// The client: the connection's peer, or what `x-forwarded-for` says where that is trusted.
    RemoteIp(IpNet),
    /// A header of the request.
    Header(HeaderMatch),
    /// The path without query.
    UrlPath(StringMatch),
}

/// What a route says in place of the filter's own settings (`RBACPerRoute`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RouteAuthorization {
    /// Nothing is checked.
    Disabled,
    /// This is.
    Check(Box<Authorization>),
}

/// `envoy.filters.network.rbac`: checks a connection before the filter that takes its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectionAuthorization {
    /// What is checked. There is no request yet: no header, no path.
    pub check: Authorization,
    /// Prefix in statistics.
    pub stat_prefix: String,
    /// When it is checked (`enforcement_type`).
    pub enforcement: Enforcement,
}

/// `RBAC.EnforcementType`. What is known of a connection does not change with its bytes, so either way it is checked and
/// counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Enforcement {
    /// When the first byte arrives.
    #[default]
    OnFirstByte,
    /// Whenever bytes arrive.
    Continuous,
}
