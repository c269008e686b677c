//! `leno status`, `leno stat` and `leno edges`: the picture of the mesh as lines of text.

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::front_door::Connection;
use crate::output::{Document, Format, Table};

/// What the three commands take.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this service.
    service: Option<String>,
    /// Only this namespace.
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print.
    #[arg(short, long, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// One picture, as `/leno/v1/frame` gives it.
#[derive(Serialize, Deserialize)]
struct Frame {
    at: String,
    mesh: Mesh,
    services: Vec<Service>,
    edges: Vec<Edge>,
    changes: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
struct Mesh {
    revision: u64,
    proxies: Proxies,
}

#[derive(Serialize, Deserialize)]
struct Proxies {
    connected: usize,
    current: usize,
}

#[derive(Serialize, Deserialize)]
struct Service {
    host: String,
    name: String,
    namespace: String,
    workloads: usize,
    client: Option<Side>,
    server: Option<Side>,
}

#[derive(Serialize, Deserialize)]
struct Side {
    rps: f64,
    success: f64,
    mutual_tls: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Edge {
    source: Party,
    service: String,
    destination: Party,
    client: Option<Side>,
    server: Option<Side>,
}

#[derive(Serialize, Deserialize)]
struct Party {
    workload: String,
    namespace: String,
    version: String,
}

#[derive(Serialize, Deserialize)]
struct Change {
    revision: u64,
    at: String,
    verb: String,
    kind: String,
    namespace: String,
    name: String,
    enforced: usize,
    of: usize,
    problem: Option<String>,
}

/// One screen: proxies, traffic, the last changes. Exit code 1 when a proxy is behind or a change was refused.
pub(crate) fn status(args: &Args) -> Result<ExitCode> {
    let frame: Frame = args.connection.get("/leno/v1/frame")?;
    let refused = frame.changes.iter().any(|change| change.problem.is_some());
    let behind = frame.mesh.proxies.current < frame.mesh.proxies.connected;
    let code = if refused || behind { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let mut stdout = anstream::stdout().lock();
    if args.output != Format::Table {
        args.output.print(&mut stdout, &Document::new("Status", &[frame]))?;
        return Ok(code);
    }
    use std::io::Write as _;
    let Mesh { revision, proxies } = &frame.mesh;
    let rps: f64 = frame
        .services
        .iter()
        .filter_map(|service| service.server.as_ref())
        .map(|side| side.rps)
        .sum();
    writeln!(
        stdout,
        "revision {revision} on {} of {} proxies",
        proxies.current, proxies.connected
    )?;
    writeln!(
        stdout,
        "{} services, {} edges, {rps:.1} requests/s",
        frame.services.len(),
        frame.edges.len()
    )?;
    for change in frame.changes.iter().take(5) {
        let Change { kind, namespace, name, verb, enforced, of, problem, .. } = change;
        let state = problem
            .as_ref()
            .map_or_else(|| format!("{enforced} of {of}"), |why| format!("refused: {why}"));
        writeln!(stdout, "  {verb} {kind} {namespace}/{name}: {state}")?;
    }
    Ok(code)
}

/// Services with what their callers and they themselves see.
pub(crate) fn stat(args: &Args) -> Result<ExitCode> {
    let frame: Frame = args.connection.get("/leno/v1/frame")?;
    let services: Vec<Service> =
        frame.services.into_iter().filter(|service| args.wants(service)).collect();
    let mut stdout = anstream::stdout().lock();
    if args.output != Format::Table {
        return args.output.print(&mut stdout, &Document::new("StatList", &services));
    }
    let mut table =
        Table::new(&["SERVICE", "NAMESPACE", "WORKLOADS", "SIDE", "RPS", "SUCCESS", "P50", "P99"]);
    for service in &services {
        for (name, side) in [("client", &service.client), ("server", &service.server)] {
            let cells = [
                service.name.clone(),
                service.namespace.clone(),
                service.workloads.to_string(),
                name.to_owned(),
            ];
            table.row(cells.into_iter().chain(figures(side.as_ref())));
        }
    }
    table.print(&mut stdout)
}

/// Who calls whom, with mutual TLS or without.
pub(crate) fn edges(args: &Args) -> Result<ExitCode> {
    let frame: Frame = args.connection.get("/leno/v1/frame")?;
    let edges: Vec<Edge> = frame.edges.into_iter().filter(|edge| args.wants_edge(edge)).collect();
    let mut stdout = anstream::stdout().lock();
    if args.output != Format::Table {
        return args.output.print(&mut stdout, &Document::new("EdgeList", &edges));
    }
    let mut table =
        Table::new(&["SOURCE", "DESTINATION", "SERVICE", "MTLS", "RPS", "SUCCESS", "P50", "P99"]);
    for edge in &edges {
        let side = edge.server.as_ref().or(edge.client.as_ref());
        let locked = side.is_some_and(|side| side.mutual_tls >= 1.0);
        let cells = [
            edge.source.workload.clone(),
            edge.destination.workload.clone(),
            edge.service.clone(),
            if locked { "yes" } else { "no" }.to_owned(),
        ];
        table.row(cells.into_iter().chain(figures(side)));
    }
    table.print(&mut stdout)
}

impl Args {
    fn wants(&self, service: &Service) -> bool {
        let named =
            self.service.as_ref().is_none_or(|name| *name == service.name || *name == service.host);
        named && self.namespace.as_ref().is_none_or(|namespace| *namespace == service.namespace)
    }

    fn wants_edge(&self, edge: &Edge) -> bool {
        let host = edge.service.split('.').next().unwrap_or_default();
        let named = self.service.as_ref().is_none_or(|name| name == host || *name == edge.service);
        named
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == edge.destination.namespace)
    }
}

/// Rate, success, median and 99th percentile; empty where nothing was counted.
fn figures(side: Option<&Side>) -> [String; 4] {
    let millis = |value: Option<f64>| value.map_or_else(String::new, |ms| format!("{ms:.1}ms"));
    side.map_or_else(Default::default, |side| {
        let success = format!("{:.2}%", (side.success * 10_000.0).floor() / 100.0);
        [format!("{:.1}", side.rps), success, millis(side.p50_ms), millis(side.p99_ms)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_never_flatter() {
        let side =
            Side { rps: 3.0, success: 0.99999, mutual_tls: 1.0, p50_ms: Some(1.25), p99_ms: None };
        assert_eq!(figures(Some(&side)), ["3.0", "99.99%", "1.2ms", ""]);
        assert_eq!(figures(None), ["", "", "", ""]);
    }
}
