//! `leno proxy status` and `leno proxy config`: what running proxies have acknowledged, and what is in force in one.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::front_door::Connection;
use crate::output::Table;
use crate::output::{Document, Format};

/// `leno proxy status`
#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    /// How to print.
    #[arg(short, long, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// `leno proxy config PART NAME`
#[derive(clap::Args)]
pub(crate) struct ConfigArgs {
    /// Which part.
    part: Part,
    /// The workload, `NAME` or `NAME.NAMESPACE`.
    name: String,
    /// JSON or YAML; a table is JSON.
    #[arg(short, long, default_value_t = Format::Yaml)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// What of a proxy's configuration is shown.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    Listeners,
    Routes,
    Clusters,
    Endpoints,
    Secrets,
}

#[derive(Serialize, Deserialize)]
struct Proxy {
    name: String,
    node: String,
    address: String,
    current: bool,
    revision: u64,
    refused: Option<String>,
}

/// Every connected proxy. Exit code 1 when one is behind or refuses something.
pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode> {
    let proxies: Vec<Proxy> = args.connection.get("/leno/v1/proxies")?;
    let well = proxies.iter().all(|proxy| proxy.current && proxy.refused.is_none());
    let mut stdout = anstream::stdout().lock();
    if args.output == Format::Table {
        let mut table = Table::new(&["PROXY", "ADDRESS", "STATE", "REVISION", "REFUSED"]);
        for proxy in &proxies {
            let state = if proxy.current { "current" } else { "behind" }.to_owned();
            let refused = proxy.refused.clone().unwrap_or_default();
            table.row([
                proxy.name.clone(),
                proxy.address.clone(),
                state,
                proxy.revision.to_string(),
                refused,
            ]);
        }
        table.print(&mut stdout)?;
    } else {
        args.output.print(&mut stdout, &Document::new("ProxyList", &proxies))?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One part of what is in force in one proxy, as its admin port tells it.
pub(crate) fn config(args: &ConfigArgs) -> Result<ExitCode> {
    let page = match args.part {
        Part::Listeners | Part::Routes | Part::Clusters => "config_dump",
        Part::Endpoints => "clusters",
        Part::Secrets => "certs",
    };
    let dump: Value = args.connection.get(&format!("/leno/v1/proxies/{}/{page}", args.name))?;
    let part = match args.part {
        Part::Listeners => find(&dump, "listeners")?,
        Part::Routes => find(&dump, "routes")?,
        Part::Clusters => find(&dump, "clusters")?,
        Part::Endpoints | Part::Secrets => dump,
    };
    let items = match part {
        Value::Array(items) => items,
        Value::Object(named) => named.into_iter().map(|(_, item)| item).collect(),
        other => vec![other],
    };
    args.output.print(&mut anstream::stdout().lock(), &Document::new("ProxyConfig", &items))
}

fn find(dump: &Value, part: &str) -> Result<Value> {
    dump.get(part).cloned().with_context(|| format!("the proxy's config_dump has no {part}"))
}
