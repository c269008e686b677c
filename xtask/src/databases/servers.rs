//! The servers: how each is started in a folder of its own, and what its clients do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// One server and its clients.
pub(super) struct Server {
    pub(super) name: &'static str,
    /// Peers that it needs.
    pub(super) programs: &'static [&'static str],
    pub(super) start: fn(&Path, u16) -> Result<Child>,
    /// Fills it, without the proxy.
    pub(super) prepare: fn(u16) -> Result<()>,
    /// Benchmark and query; returns what must be the same with and without the proxy.
    pub(super) work: fn(u16) -> Result<String>,
}

pub(super) const SERVERS: [Server; 6] = [
    Server {
        name: "redis",
        programs: &["redis-server", "redis-benchmark"],
        start: |folder, port| {
            let port = port.to_string();
            spawn(
                Command::new("redis-server")
                    .args(["--port", &port, "--save", ""])
                    .current_dir(folder),
            )
        },
        prepare: |_| Ok(()),
        work: redis,
    },
    Server {
        name: "memcached",
        programs: &["memcached", "memcslap"],
        start: |_, port| {
            let port = port.to_string();
            spawn(Command::new("memcached").args(["-u", "nobody", "-l", "127.0.0.1", "-p", &port]))
        },
        prepare: |_| Ok(()),
        work: memcached,
    },
    Server {
        name: "postgres",
        programs: &["postgres"],
        start: start_postgres,
        prepare: |port| pgbench(port, &["-i", "-q", "-s", "1"]).map(drop),
        work: postgres,
    },
    Server {
        name: "mariadb",
        programs: &["mariadbd", "mariadb-slap"],
        start: start_mariadb,
        prepare: |port| {
            mariadb(port, "create database t; create table t.n (n int); insert into t.n values (1)")
                .map(drop)
        },
        work: |port| {
            let load = ["--concurrency=8", "--number-of-queries=2000", "--auto-generate-sql"];
            said(mariadb_client("mariadb-slap", port).args(load))?;
            mariadb(port, "select n, repeat('x', 70000) from t.n")
        },
    },
    Server {
        name: "nats",
        programs: &["nats-server"],
        start: |_, port| {
            spawn(Command::new("nats-server").args(["-a", "127.0.0.1", "-p", &port.to_string()]))
        },
        prepare: |_| Ok(()),
        work: nats,
    },
    Server {
        name: "mosquitto",
        programs: &["mosquitto", "mosquitto_pub"],
        start: |folder, port| {
            let config = folder.join("mosquitto.conf");
            std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n"))?;
            spawn(Command::new("mosquitto").arg("-c").arg(config))
        },
        prepare: |_| Ok(()),
        work: mosquitto,
    },
];

/// Servers that refuse to run as root run as somebody else, who must get in.
pub(super) fn open_to_all(folder: &Path) -> Result<()> {
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?)
}

fn spawn(command: &mut Command) -> Result<Child> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().with_context(|| format!("run {command:?}"))
}

/// What a program printed; an error if it failed.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn redis(port: u16) -> Result<String> {
    let port = port.to_string();
    let load = ["-p", &port, "-n", "20000", "-c", "50", "-P", "4", "-d", "512", "--csv", "-t"];
    let load = said(Command::new("redis-benchmark").args(load).arg("set,get,lpush,mset"))?;
    ensure!(load.lines().count() >= 5 && !load.contains("rror"), "redis-benchmark: {load}");
    let query = "redis.call('set','k',string.rep('x',300000)) return redis.call('get','k')";
    said(Command::new("redis-cli").args(["-p", &port, "eval", query, "0"]))
}

fn memcached(port: u16) -> Result<String> {
    let server = format!("--servers=127.0.0.1:{port}");
    let load = ["--concurrency=8", "--execute-number=2000", "--initial-load=2000", "--test=get"];
    said(Command::new("memcslap").arg(&server).args(load))?;
    let file = tempfile::Builder::new().prefix("value").tempfile()?;
    std::fs::write(file.path(), "x".repeat(300_000))?;
    said(Command::new("memccp").arg(&server).arg(file.path()))?;
    let key = file.path().file_name().context("a name")?;
    let value = said(Command::new("memccat").arg(&server).arg(key))?;
    said(Command::new("memcrm").arg(&server).arg(key))?;
    Ok(value)
}

/// Where Debian keeps PostgreSQL's programs.
fn postgres_program(name: &str) -> Result<std::path::PathBuf> {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut found = versions.flatten().map(|version| version.path().join("bin").join(name));
    found.find(|path| path.is_file()).with_context(|| format!("no {name} of PostgreSQL"))
}

/// As the user that the package made, if we are root.
fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn start_postgres(folder: &Path, port: u16) -> Result<Child> {
    let data = folder.join("data");
    let init = ["--auth=trust", "--username=leno", "--no-sync", "-D"];
    said(as_postgres(&postgres_program("initdb")?).args(init).arg(&data).current_dir(folder))?;
    let mut server = as_postgres(&postgres_program("postgres")?);
    server
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
        .arg(folder);
    spawn(server.args(["-F"]).current_dir(folder))
}

fn pgbench(port: u16, arguments: &[&str]) -> Result<String> {
    let port = port.to_string();
    let server = ["-h", "127.0.0.1", "-p", &port, "-U", "leno"];
    // It may listen before it takes connections.
    let ready = || said(Command::new(postgres_program("pg_isready")?).args(server));
    while ready().is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    said(Command::new(postgres_program("pgbench")?).args(server).args(arguments).arg("postgres"))
}

fn postgres(port: u16) -> Result<String> {
    let load = pgbench(port, &["-n", "-c", "8", "-j", "2", "-t", "200", "-C", "-S"])?;
    ensure!(load.contains("number of failed transactions: 0"), "pgbench: {load}");
    let query = "select count(*), sum(aid), repeat('x', 300000) from pgbench_accounts";
    let port = port.to_string();
    let server = ["-h", "127.0.0.1", "-p", &port, "-U", "leno", "-Atc", query, "postgres"];
    said(Command::new(postgres_program("psql")?).args(server))
}

fn start_mariadb(folder: &Path, port: u16) -> Result<Child> {
    let data = format!("--datadir={}", folder.join("data").display());
    let user = rustix::process::geteuid().is_root().then_some("--user=root");
    let install = ["--no-defaults", "--auth-root-authentication-method=normal", &data];
    said(Command::new("mariadb-install-db").args(install).args(user))?;
    let socket = format!("--socket={}", folder.join("socket").display());
    let listen = [&format!("--port={port}"), "--bind-address=127.0.0.1", "--skip-name-resolve"];
    spawn(Command::new("mariadbd").args(["--no-defaults", &data, &socket]).args(listen).args(user))
}

fn mariadb_client(program: &str, port: u16) -> Command {
    let mut command = Command::new(program);
    let port = format!("--port={port}");
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", &port]);
    command
}

fn mariadb(port: u16, query: &str) -> Result<String> {
    said(mariadb_client("mariadb", port).args(["--batch", "-e", query]))
}

/// No client of NATS comes with the system, so its protocol is spoken here: the server's greeting is waited for, then
/// many messages go out and come back on one subscription.
fn nats(port: u16) -> Result<String> {
    const MESSAGES: usize = 5000;
    let mut received = String::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut line = move || lines.next().context("the server's line")?.context("read");
        ensure!(line()?.starts_with("INFO "), "a greeting");
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB subject 1\r\n")?;
        let sending = std::thread::spawn(move || -> std::io::Result<()> {
            for number in 0..MESSAGES / 20 {
                let text = format!("message {number}");
                write!(stream, "PUB subject {}\r\n{text}\r\n", text.len())?;
            }
            Ok(())
        });
        for _ in 0..MESSAGES / 20 {
            received.push_str(&line()?);
            received.push_str(&line()?);
        }
        sending.join().expect("no panic")?;
    }
    Ok(received)
}

fn mosquitto(port: u16) -> Result<String> {
    const MESSAGES: usize = 1000;
    let port = port.to_string();
    let topic = ["-h", "127.0.0.1", "-p", &port, "-t", "subject", "-q", "1"];
    // A retained message says that the subscription stands.
    said(Command::new("mosquitto_pub").args(topic).args(["-r", "-m", "first"]))?;
    let mut subscriber = Command::new("mosquitto_sub")
        .args(topic)
        .args(["-C", &(MESSAGES + 1).to_string(), "-W", "30"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(subscriber.stdout.take().context("a pipe")?).lines();
    let mut received = lines.next().context("the retained message")??;
    let mut publisher =
        Command::new("mosquitto_pub").args(topic).arg("-l").stdin(Stdio::piped()).spawn()?;
    let mut input = publisher.stdin.take().context("a pipe")?;
    for number in 0..MESSAGES {
        writeln!(input, "message {number}")?;
    }
    drop(input);
    ensure!(publisher.wait()?.success(), "mosquitto_pub");
    for line in lines {
        received.push_str(&line?);
    }
    ensure!(subscriber.wait()?.success(), "mosquitto_sub");
    Ok(received)
}
