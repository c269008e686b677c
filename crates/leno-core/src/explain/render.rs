//! A decision as lines of text: one fact a line, the deciding ones first.

use std::fmt;

use super::{ClusterShare, Decision, ForwardOutcome, Outcome, RouteRef};

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = [
            ("listener", &self.listener),
            ("filter chain", &self.filter_chain),
            ("route configuration", &self.route_configuration),
            ("virtual host", &self.virtual_host),
        ];
        for (level, name) in levels {
            if let Some(name) = name {
                writeln!(f, "{level}: {name}")?;
            }
        }
        for passed in &self.passed_over {
            writeln!(f, "passed over: {}, missed {}", passed.route, passed.missed)?;
        }
        if let Some(route) = &self.route {
            writeln!(f, "route: {route}")?;
        }
        if let Some(fault) = &self.fault {
            if let Some((length_ms, share)) = fault.delay {
                writeln!(f, "fault: delay {length_ms} ms for {} (flag DI)", Percent(share))?;
            }
            if let Some((status, share)) = fault.abort {
                writeln!(f, "fault: abort with {status} for {} (flag FI)", Percent(share))?;
            }
        }
        self.outcome.fmt(f)
    }
}

impl fmt::Display for RouteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.position)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match &self.origin {
            Some(origin) => write!(f, " from {origin}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(forward) => forward.fmt(f),
            Self::Tcp { clusters } => {
                clusters.iter().try_for_each(|share| writeln!(f, "bytes to {share}"))
            }
            Self::Redirect { status, location } => writeln!(f, "redirect: {status} {location}"),
            Self::DirectResponse { status, body_bytes } => {
                writeln!(f, "answer: {status}, {body_bytes} bytes")
            }
            Self::Failure { status, flag, detail, blame } => {
                let answer = if *status == 0 { "close".to_owned() } else { status.to_string() };
                writeln!(f, "failure: {answer} {flag} {detail}, blame {blame}")
            }
        }
    }
}

impl fmt::Display for ForwardOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for share in &self.clusters {
            writeln!(f, "forward to {share}")?;
            for edit in &share.request_edits {
                writeln!(f, "  header: {edit}")?;
            }
        }
        writeln!(f, "sent as: {} {}", self.authority, self.path)?;
        if let Some(timeout_ms) = self.timeout_ms {
            writeln!(f, "timeout: {timeout_ms} ms")?;
        }
        if let Some(timeout_ms) = self.idle_timeout_ms {
            writeln!(f, "idle timeout: {timeout_ms} ms")?;
        }
        if self.retries > 0 {
            write!(f, "retries: {}", self.retries)?;
            if let Some(timeout_ms) = self.per_try_timeout_ms {
                write!(f, ", {timeout_ms} ms each")?;
            }
            let when = if self.is_idempotent { "" } else { ", only if it was not processed" };
            writeln!(f, "{when}")?;
        }
        for (cluster, share) in &self.mirrors {
            writeln!(f, "mirror to {cluster}: {}", Percent(*share))?;
        }
        Ok(())
    }
}

impl fmt::Display for ClusterShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, Percent(self.per_million))?;
        if !self.is_known {
            f.write_str(", which is not there (503 NC)")?;
        }
        match &self.origin {
            Some(origin) => write!(f, ", settings from {origin}"),
            None => Ok(()),
        }
    }
}

/// Parts per million as a percentage without trailing zeros.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}
