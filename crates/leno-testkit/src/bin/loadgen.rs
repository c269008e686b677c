//! `loadgen serve` answers, `loadgen drive` asks and prints what it saw as one JSON document.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use leno_testkit::load::{drive, serve};

#[derive(Parser)]
#[command(name = "loadgen", about = "Load for benches")]
enum Cli {
    /// Answer every request with the same bytes; print the address first.
    Serve {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long, default_value_t = 1024)]
        body_bytes: usize,
    },
    /// Send requests and measure.
    Drive {
        address: SocketAddr,
        #[arg(long, default_value = "localhost")]
        host: String,
        #[arg(long, default_value = "/")]
        path: String,
        #[arg(long, default_value_t = 32)]
        connections: usize,
        /// Requests per second; as many as are answered if not given.
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        #[arg(long, default_value_t = 0.5)]
        warm_up_seconds: f64,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Serve { listen, body_bytes } => {
            let listener =
                TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
            println!("{}", listener.local_addr()?);
            std::io::stdout().flush()?;
            serve::serve(&listener, body_bytes)
        }
        Cli::Drive { address, host, path, connections, rate, seconds, warm_up_seconds } => {
            let outcome = drive::drive(&drive::Plan {
                address,
                host,
                path,
                connections,
                rate,
                duration: Duration::from_secs_f64(seconds),
                warm_up: Duration::from_secs_f64(warm_up_seconds),
            })?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(())
        }
    }
}
