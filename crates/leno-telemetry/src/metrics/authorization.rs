//! What authorization filters count: a part of the table with Envoy's names, one set for requests and one for connections.

use super::{Kind, Metric};

/// What an authorization filter counts. Envoy's names are made of it and of [`AuthorizationScope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the tables say it")]
pub enum AuthorizationStat {
    Allowed,
    Denied,
    ShadowAllowed,
    ShadowDenied,
}

impl AuthorizationStat {
    /// Every variant in order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Allowed, Self::Denied, Self::ShadowAllowed, Self::ShadowDenied];

    pub(crate) const COUNT: usize = 4;
}

/// What an authorization filter stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthorizationScope {
    /// Requests (`envoy.filters.http.rbac`).
    Requests,
    /// Connections (`envoy.filters.network.rbac`).
    Connections,
}

impl AuthorizationScope {
    /// The lines of the table, in the order of [`AuthorizationStat`].
    #[must_use]
    pub fn table(self) -> &'static [Metric; AuthorizationStat::COUNT] {
        match self {
            Self::Requests => &AUTHORIZED_REQUESTS,
            Self::Connections => &AUTHORIZED_CONNECTIONS,
        }
    }

    /// The label of the filter's `stat_prefix`, and that of the prefix of its rules.
    #[must_use]
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Requests => ("envoy_http_conn_manager_prefix", "envoy_rbac_http_prefix"),
            Self::Connections => ("envoy_rbac_prefix", "shadow_rules_prefix"),
        }
    }
}

macro_rules! authorized {
    ($($name:literal, $help:literal;)*) => {
        [$(Metric { name: $name, kind: Kind::Untyped, help: $help },)*]
    };
}

static AUTHORIZED_REQUESTS: [Metric; AuthorizationStat::COUNT] = authorized! {
    "envoy_http_rbac_allowed", "Requests that an authorization filter let pass.";
    "envoy_http_rbac_denied", "Requests that an authorization filter denied.";
    "envoy_http_rbac_shadow_allowed", "Requests that its shadow rules would let pass.";
    "envoy_http_rbac_shadow_denied", "Requests that its shadow rules would deny.";
};

static AUTHORIZED_CONNECTIONS: [Metric; AuthorizationStat::COUNT] = authorized! {
    "envoy_rbac_allowed", "Connections that an authorization filter let pass.";
    "envoy_rbac_denied", "Connections that an authorization filter closed.";
    "envoy_rbac_shadow_allowed", "Connections that its shadow rules would let pass.";
    "envoy_rbac_shadow_denied", "Connections that its shadow rules would close.";
};
