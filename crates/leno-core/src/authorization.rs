//! Who may do what: the decision of `envoy.filters.http.rbac` and `envoy.filters.network.rbac`.
//!
//! Compiled once; asked once per request or connection, without allocation. A request is compared with the policies that
//! its path or its peer's identity point to, and with those that neither narrows ([`index`]).
//!
//! Invariant: the answer equals that of asking every policy in the order of their names.

mod condition;
mod index;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use self::condition::Condition;
use self::index::PolicyIndex;
use crate::config::{self, AuthorizationAction};
use crate::problem::{ProblemKind, Report};
use crate::request::{RequestView, has_path, path_only};

/// Who asks: what is known of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The SPIFFE id that the peer proved.
    pub principal: Option<&'a str>,
    /// The peer; what a PROXY protocol header says counts. `None` for a Unix socket.
    pub source: Option<IpAddr>,
    /// The peer, whatever a PROXY protocol header says.
    pub direct: Option<IpAddr>,
    /// The client: the peer, or what `x-forwarded-for` says where that is trusted.
    pub client: Option<IpAddr>,
    /// Where the connection was for.
    pub destination: Option<SocketAddr>,
    /// SNI.
    pub server_name: Option<&'a str>,
}

/// Proof that what decides was asked and did not deny; forwarding needs one.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// Before any filter was asked. Every authorization filter takes it and gives it back, or does not.
    #[must_use]
    pub fn unasked() -> Self {
        Self(())
    }
}

/// A decision against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Envoy's response code detail, with the policy's name.
    pub detail: Arc<str>,
}

/// What one filter says; `None` where it has no such rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Of the rules that decide.
    pub enforced: Option<Result<(), Denied>>,
    /// Of the rules that are only counted.
    pub shadow: Option<Result<(), Denied>>,
}

impl Verdicts {
    /// Goes on with the permit, unless the rules that decide deny it.
    ///
    /// # Errors
    /// [`Denied`], with the policy.
    pub fn enforce(self, permit: Permit) -> Result<Permit, Denied> {
        match self.enforced {
            Some(Err(denied)) => Err(denied),
            Some(Ok(())) | None => Ok(permit),
        }
    }
}

/// A compiled [`config::Authorization`].
#[derive(Clone, Debug)]
pub struct Authorization {
    rules: Option<Box<Rules>>,
    shadow: Option<Box<Rules>>,
    asks_client: bool,
}

impl Authorization {
    pub(crate) fn compile(config: &config::Authorization, report: &mut Report) -> Self {
        let mut compile =
            |field: &str, rules: &Option<config::AuthorizationRules>| {
                let rules = rules.as_ref()?;
                Some(report.within(format_args!(".{field}"), |report| {
                    Box::new(Rules::compile(rules, report))
                }))
            };
        let (rules, shadow) =
            (compile("rules", &config.rules), compile("shadow_rules", &config.shadow_rules));
        let asks_client = [&rules, &shadow].into_iter().flatten().any(|rules| rules.asks_client());
        Self { rules, shadow, asks_client }
    }

    /// Whether nothing is checked at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_none() && self.shadow.is_none()
    }

    /// Whether [`Caller::client`] is looked at.
    #[must_use]
    pub fn asks_client(&self) -> bool {
        self.asks_client
    }

    /// What the rules say of a request.
    pub fn judge<R: RequestView + ?Sized>(&self, caller: &Caller<'_>, request: &R) -> Verdicts {
        self.verdicts(caller, Some(request))
    }

    /// What the rules say of a connection: conditions on headers and paths see none.
    #[must_use]
    pub fn judge_connection(&self, caller: &Caller<'_>) -> Verdicts {
        self.verdicts(caller, None::<&crate::request::Call>)
    }

    fn verdicts<R: RequestView + ?Sized>(
        &self,
        caller: &Caller<'_>,
        request: Option<&R>,
    ) -> Verdicts {
        let verdict = |rules: &Rules| rules.verdict(caller, request);
        Verdicts {
            enforced: self.rules.as_deref().map(verdict),
            shadow: self.shadow.as_deref().map(verdict),
        }
    }
}

/// A compiled [`config::AuthorizationRules`].
#[derive(Clone, Debug)]
struct Rules {
    action: AuthorizationAction,
    /// In the order of their names.
    policies: Box<[Policy]>,
    index: PolicyIndex,
    /// Said where no policy applies.
    unmatched: Arc<str>,
}

#[derive(Clone, Debug)]
struct Policy {
    detail: Arc<str>,
    applies: Condition,
}

impl Rules {
    fn compile(config: &config::AuthorizationRules, report: &mut Report) -> Self {
        let compile = |(name, policy): (&String, &config::Policy)| {
            report.within(format_args!(".policies[{name}]"), |report| {
                for (field, what, is_empty) in [
                    ("permissions", "permission", policy.permissions.is_empty()),
                    ("principals", "principal", policy.principals.is_empty()),
                ] {
                    if is_empty {
                        report.problem_at(format_args!(".{field}"), ProblemKind::Empty { what });
                    }
                }
                Policy { detail: detail(name), applies: Condition::of_policy(policy, report) }
            })
        };
        let policies: Box<[Policy]> = config.policies.iter().map(compile).collect();
        let index = PolicyIndex::build(policies.iter().map(|policy| &policy.applies));
        Self { action: config.action, policies, index, unmatched: detail("none") }
    }

    fn asks_client(&self) -> bool {
        self.policies.iter().any(|policy| policy.applies.asks_client())
    }

    fn verdict<R: RequestView + ?Sized>(
        &self,
        caller: &Caller<'_>,
        request: Option<&R>,
    ) -> Result<(), Denied> {
        match self.action {
            AuthorizationAction::Log => Ok(()),
            AuthorizationAction::Allow => match self.first(caller, request) {
                Some(_) => Ok(()),
                None => Err(Denied { detail: Arc::clone(&self.unmatched) }),
            },
            AuthorizationAction::Deny => match self.first(caller, request) {
                Some(policy) => Err(Denied { detail: Arc::clone(&policy.detail) }),
                None => Ok(()),
            },
        }
    }

    /// The first policy that applies.
    fn first<R: RequestView + ?Sized>(
        &self,
        caller: &Caller<'_>,
        request: Option<&R>,
    ) -> Option<&Policy> {
        let path = request.filter(|request| has_path(*request)).map(|r| path_only(r.path()));
        let applies = |at: u32| self.policies[at as usize].applies.holds(caller, path, request);
        let principal = caller.principal.map(str::as_bytes);
        let first = self.index.first(path, principal, applies)?;
        Some(&self.policies[first as usize])
    }
}

/// Envoy's words; a blank would end the word in a log.
fn detail(policy: &str) -> Arc<str> {
    let name = policy.replace(char::is_whitespace, "_");
    format!("rbac_access_denied_matched_policy[{name}]").into()
}
