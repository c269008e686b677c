//! A minute or two of every suite for `make test`: Leno alone, one proxy where a suite takes minutes with two.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Common, autobahn, grpc, h2spec, matrix, transparency, websocket};
use crate::peers;

/// A suite, and what it cannot do without.
struct Short {
    name: &'static str,
    needs: &'static [&'static str],
    run: fn(&Path, &Common) -> Result<ExitCode>,
}

const SUITES: [Short; 6] = [
    Short { name: "h2spec", needs: &["h2spec", "haproxy"], run: h2spec::run },
    Short {
        name: "transparency",
        needs: &[],
        run: |root, common| transparency::run(root, &transparency::Args::short(common.clone())),
    },
    Short {
        name: "matrix",
        needs: &["node", "python", "curl"],
        run: |root, common| matrix::run(root, &matrix::Args::short(common.clone())),
    },
    Short {
        name: "grpc",
        needs: &["python"],
        run: |root, common| grpc::run(root, &grpc::Args::short(common.clone())),
    },
    Short { name: "websocket", needs: &["node-packages", "python"], run: websocket::short },
    Short {
        name: "autobahn",
        needs: &["node-packages", "wstest"],
        run: |root, common| autobahn::run(root, &autobahn::Args::short(common.clone())),
    },
];

pub(super) fn run(root: &Path, common: &Common) -> Result<ExitCode> {
    let common = Common { only: vec!["leno".to_owned()], leno: common.leno.clone() };
    let mut failed = Vec::new();
    for suite in &SUITES {
        let missing = suite.needs.iter().find_map(|peer| Some((peer, peers::path(peer).err()?)));
        if let Some((peer, why)) = missing {
            println!("interop: {} is left out on this machine: {peer}: {why:#}", suite.name);
            continue;
        }
        println!("interop: {}", suite.name);
        let began = Instant::now();
        if (suite.run)(root, &common)? != ExitCode::SUCCESS {
            failed.push(suite.name);
        }
        println!("interop: {} took {} s\n", suite.name, began.elapsed().as_secs());
    }
    ensure!(failed.is_empty(), "these differ: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}
