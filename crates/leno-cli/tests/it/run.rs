//! `leno run` with real processes: a control plane, programs, their sidecars, and every way they can end.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::mesh::{LENO, Mesh};

/// Serves one file for ever, on the port and at the place it is told.
const SERVER: &str = "
import http.server, os, sys
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'hello from ' + os.environ['POD_NAME'].encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((os.environ.get('HOST', '0.0.0.0'), 8000), Hello).serve_forever()
";

const CLIENT: &str = "
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url, timeout=10).read().decode(), flush=True)
";

impl Mesh {
    /// Runs a program as a workload that only calls, to its end.
    fn shell(&self, flags: &[&str], program: &[&str]) -> Output {
        let mut words = vec!["run", "--service", "shell", "--quiet"];
        words.extend(flags);
        words.push("--");
        words.extend(program);
        self.leno(&words).output().unwrap()
    }

    /// Starts a server as a workload and waits until the mesh calls it.
    fn serve(&self, flags: &[&str]) -> Served {
        let mut words = vec!["run", "--service", "hello", "--port", "8000"];
        words.extend(flags);
        words.extend(["--", "python3", "-c", SERVER]);
        let served = Served::of(self.leno(&words).spawn().unwrap());
        self.until("an endpoint", || self.names("endpointslices").len() == 1);
        served
    }

    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let output = self.leno(&["get", kind, "-o", "json"]).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let items = document["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What the one run says of itself.
    fn report(&self) -> Option<Value> {
        let folder = fs::read_dir(self.folder.path().join("run")).ok()?.flatten().next()?.path();
        serde_json::from_slice(&fs::read(folder.join("run.json")).ok()?).ok()
    }
}

struct Served {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Served {
    fn of(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its program and sidecar die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn a_program_calls_another_by_every_name_under_mutual_tls() {
    let mesh = Mesh::start();
    let log = mesh.folder.path().join("hello.log");
    let hello = mesh.serve(&["--access-log", log.to_str().unwrap()]);
    let urls = [
        "http://hello:8000/",
        "http://hello.default:8000/",
        "http://hello.default.svc.cluster.local:8000/",
    ];
    let output = mesh.shell(&[], &[&["python3", "-c", CLIENT][..], &urls].concat());
    let said = text(&output.stdout);
    assert_eq!(said.lines().count(), 3, "{said}{}", text(&output.stderr));
    assert!(said.lines().all(|line| line.starts_with("hello from hello-v1-")), "{said}");
    mesh.until("records", || fs::read_to_string(&log).unwrap().lines().count() >= 3);
    for line in fs::read_to_string(&log).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["peer"], "spiffe://cluster.local/ns/default/sa/shell", "{line}");
    }
    hello.signal(Signal::TERM);
    assert_eq!(hello.end().0, Some(128 + 15));
    assert_eq!((mesh.names("pods").len(), mesh.names("endpointslices").len()), (0, 0));
    assert_eq!(mesh.names("services"), ["hello"], "others may still serve it");
    assert_eq!(fs::read_dir(mesh.folder.path().join("run")).unwrap().count(), 0);
}

#[test]
fn the_exit_status_is_the_programs() {
    let mesh = Mesh::start();
    // (program, code)
    let table: [(&[&str], i32); 5] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["/no/such/program"], 127),
        (&["/etc/passwd"], 126),
    ];
    for (program, code) in table {
        let output = mesh.shell(&[], program);
        assert_eq!(output.status.code(), Some(code), "{program:?}: {}", text(&output.stderr));
    }
    assert_eq!(mesh.names("pods"), [""; 0]);
}

#[test]
fn a_signal_reaches_the_program_after_its_endpoint_is_gone() {
    let mesh = Mesh::start();
    let program = "trap 'exit 5' TERM; python3 -m http.server 8000 >/dev/null 2>&1 & wait";
    let words = ["run", "--service", "hello", "--port", "8000", "--", "sh", "-c", program];
    let mut child = mesh.leno(&words).spawn().unwrap();
    mesh.until("an endpoint", || mesh.names("endpointslices").len() == 1);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(mesh.names("endpointslices"), [""; 0]);
}

#[test]
fn a_sidecar_that_dies_is_replaced_aloud_and_nobody_is_refused() {
    let mesh = Mesh::start();
    let hello = mesh.serve(&[]);
    let old = mesh.report().unwrap()["proxy_pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(old).unwrap()).unwrap(), Signal::KILL).unwrap();
    let output = mesh.shell(&[], &["python3", "-c", CLIENT, "http://hello:8000/"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_ne!(mesh.report().map(|report| report["proxy_pid"].as_i64()), Some(Some(old)));
    // Not an interrupt: where the whole test runs in the background, programs are born deaf to it.
    hello.signal(Signal::TERM);
    let (_, said) = hello.end();
    assert!(said.contains("ended: signal: 9") && said.contains("starting another"), "{said}");
}

/// Calls on one connection for as long as that lasts, and again, until a file is there; what goes wrong ends it.
const CALLER: &str = "
import http.client, os, select, sys
host, until = sys.argv[1:]
calls = 0
while not os.path.exists(until):
    connection = http.client.HTTPConnection(host, 8000, timeout=20)
    while not os.path.exists(until):
        # The machine may have paused us for longer than an idle connection is kept.
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            break
        connection.request('GET', '/')
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        answer.read()
        calls += 1
        if answer.getheader('connection') == 'close':
            break
    connection.close()
print(calls)
";

#[test]
fn a_sidecar_is_replaced_under_load_on_either_side_and_stays_one_proxy() {
    let mesh = Mesh::start();
    let hello = mesh.serve(&[]);
    let until = mesh.folder.path().join("until");
    let mut words = vec!["run", "--service", "caller", "--quiet", "--", "python3", "-c", CALLER];
    words.extend(["hello", until.to_str().unwrap()]);
    let caller = mesh.leno(&words).spawn().unwrap();
    mesh.until("both sidecars", || status(&mesh).len() == 2);
    let pids = || -> Vec<u64> {
        let runs = fs::read_dir(mesh.folder.path().join("run")).unwrap().flatten();
        let reports = runs.map(|run| fs::read(run.path().join("run.json")).unwrap());
        let report = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).unwrap();
        reports.map(|text| report(text)["proxy_pid"].as_u64().unwrap()).collect()
    };
    for name in ["hello-v1", "caller-v1", "--all"] {
        let before = pids();
        let upgrading = mesh.leno(&["proxy", "upgrade", name]).spawn().unwrap();
        let mut most = 0;
        let output = {
            let mut upgrading = upgrading;
            while upgrading.try_wait().unwrap().is_none() {
                most = most.max(status(&mesh).len());
            }
            upgrading.wait_with_output().unwrap()
        };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!((most, status(&mesh).len()), (2, 2), "{name}");
        let replaced = pids().iter().filter(|pid| !before.contains(pid)).count();
        assert_eq!(replaced, if name == "--all" { 2 } else { 1 }, "{name}");
    }
    let wrong = mesh.leno(&["proxy", "upgrade", "nobody"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    let program = ["proxy", "upgrade", "hello-v1", "--program", "/bin/false"];
    let refused = mesh.leno(&program).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    fs::write(&until, "").unwrap();
    let output = caller.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).parse::<u32>().unwrap() > 10);
    drop(hello);
}

/// The proxies that the control plane counts.
fn status(mesh: &Mesh) -> Vec<Value> {
    let output = mesh.leno(&["proxy", "status", "-o", "json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["items"].as_array().unwrap().clone()
}

#[test]
fn sidecars_that_start_without_a_control_plane_serve_from_what_was_sealed() {
    let mut mesh = Mesh::start();
    let _hello = mesh.serve(&[]);
    let go = mesh.folder.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let program = format!("open('{}').read()\n{CLIENT}", go.display());
    let words = ["run", "--service", "shell", "--quiet", "--", "python3", "-c", &program];
    let caller = mesh.leno(&[&words[..], &["http://hello:8000/"]].concat()).spawn().unwrap();
    let runs = mesh.folder.path().join("run");
    let reports = || -> Vec<(PathBuf, Value)> {
        let folders = fs::read_dir(&runs).unwrap().flatten();
        let report = |path: PathBuf| {
            let report = serde_json::from_slice(&fs::read(path.join("run.json")).ok()?).ok()?;
            Some((path.join("proxy"), report))
        };
        folders.filter_map(|folder| report(folder.path())).collect()
    };
    let kept = ["svid.pem", "last-good.ads"];
    mesh.until("what both keep", || {
        let reports = reports();
        reports.len() == 2
            && reports.iter().all(|(folder, _)| kept.iter().all(|name| folder.join(name).exists()))
    });
    for (folder, _) in reports() {
        for name in kept {
            let file = fs::read(folder.join(name)).unwrap();
            assert!(file.starts_with(b"LENOSEA1"), "{name}");
        }
    }
    mesh.kill_control();
    let before: Vec<i64> =
        reports().iter().map(|(_, report)| report["proxy_pid"].as_i64().unwrap()).collect();
    for pid in &before {
        kill_process(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    mesh.until("two new sidecars", || {
        let pids = reports().into_iter().filter_map(|(_, report)| report["proxy_pid"].as_i64());
        pids.filter(|pid| !before.contains(pid)).count() == 2
    });
    fs::write(&go, "").unwrap();
    let output = caller.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert!(said.starts_with("hello from hello-v1-"), "{said}{}", text(&output.stderr));
}

#[test]
fn a_killed_run_takes_its_processes_along() {
    let mesh = Mesh::start();
    let hello = mesh.serve(&[]);
    let proxy = mesh.report().unwrap()["proxy_pid"].as_i64().unwrap();
    let proxy = PathBuf::from(format!("/proc/{proxy}"));
    let program = children(hello.child.id())
        .into_iter()
        .find(|pid| command_line(*pid).contains("http.server"))
        .expect("the program");
    hello.signal(Signal::KILL);
    let program = PathBuf::from(format!("/proc/{program}"));
    mesh.until("their end", || is_gone(&program) && is_gone(&proxy));
}

#[test]
fn what_is_wrong_is_said_with_its_code() {
    let mesh = Mesh::start();
    // (flags, code, what is said)
    let table: [(&[&str], i32, &str); 3] = [
        (&["--namespace", "No Name"], 2, "--namespace \"No Name\""),
        (&["--version", "v_1"], 2, "lower-case letters"),
        (&["--kubeconfig", "/nowhere"], 3, "/nowhere"),
    ];
    for (flags, code, named) in table {
        let output = mesh.shell(flags, &["true"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(named), "{flags:?}: {said}");
    }
}

#[test]
fn without_namespaces_the_environment_is_used_and_the_setting_named() {
    if Command::new("unshare").arg("--version").output().is_err() {
        return println!("no unshare(1) here");
    }
    let mesh = Mesh::start();
    let _hello = mesh.serve(&["--capture", "env"]);
    // The limit counts per namespace, so a nested one can be its own machine.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let forbidden = |capture: &str| {
        let mut command = Command::new("unshare");
        command.args(["-U", "-r", "sh", "-c", script, LENO, "run", "--service", "shell"]);
        command.args(["--capture", capture, "--", "python3", "-c", CLIENT, "http://hello:8000/"]);
        command.env("KUBECONFIG", mesh.kubeconfig()).env_remove("no_proxy").env_remove("NO_PROXY");
        command.output().unwrap()
    };
    let output = forbidden("auto");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.starts_with("hello from hello-v1-"), "{stdout}{stderr}");
    let named = "capture=env, since there is no namespace to be had: user.max_user_namespaces = 0";
    assert!(stderr.contains(named), "{stderr}");
    let output = forbidden("netns");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("user.max_user_namespaces"));
}

/// Takes every address of the host, as most programs do.
const SERVER_EVERYWHERE: &str = "
import http.server, os, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'hello from everywhere'
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), Hello).serve_forever()
";

const TUNNEL: &str = "
import http.client, os, sys
proxy = os.environ['HTTPS_PROXY'].removeprefix('http://').split(':')
connection = http.client.HTTPConnection(proxy[0], int(proxy[1]), timeout=10)
host, port = sys.argv[1].split(':')
connection.set_tunnel(host, int(port))
connection.request('GET', '/in/a/tunnel')
print(connection.getresponse().read().decode())
";

#[test]
fn without_namespaces_a_program_keeps_its_port_and_reaches_what_is_outside_of_the_mesh() {
    let mesh = Mesh::start();
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = outside.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in outside.incoming().flatten() {
            let mut lines = std::io::BufRead::lines(BufReader::new(&stream));
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", first.len());
            std::io::Write::write_all(&mut &stream, (head + &first).as_bytes()).unwrap();
        }
    });
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let port = port.to_string();
    let words = ["run", "--capture", "env", "--service", "hello", "--port", &port, "--"];
    let server = ["python3", "-c", SERVER_EVERYWHERE];
    let child = mesh.leno(&[&words[..], &server].concat()).spawn().unwrap();
    let mut served = Served::of(child);
    mesh.until("an endpoint", || {
        assert!(served.child.try_wait().unwrap().is_none(), "it ended");
        mesh.names("endpointslices").len() == 1
    });
    let log = mesh.folder.path().join("shell.log");
    let (meshed, other) = (format!("http://hello:{port}/"), format!("http://{address}/a?b"));
    let mut command = mesh.leno(&["run", "--service", "shell", "--quiet", "--capture", "env"]);
    command.arg("--access-log").arg(&log).args(["--", "python3", "-c", CLIENT]);
    command.args([&meshed, &other, "http://no-such-host.invalid/"]);
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = command.output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(stdout, "hello from everywhere\nGET /a?b HTTP/1.1", "{stderr}");
    assert!(stderr.contains("503"), "a name that is nowhere: {stderr}");
    let records: Vec<Value> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<String> = records
        .iter()
        .map(|record| format!("{} {}", record["upstream_cluster"], record["response_flags"]))
        .collect();
    let service = format!("\"outbound|{port}||hello.default.svc.cluster.local\" \"-\"");
    let rest = "\"ForwardProxyCluster\"";
    assert_eq!(said, [service, format!("{rest} \"-\""), format!("{rest} \"DF\"")]);

    // A tunnel goes where it says, too; HTTPS is in one.
    let mut command = mesh.leno(&["run", "--service", "shell", "--quiet", "--capture", "env"]);
    command.args(["--", "python3", "-c", TUNNEL, &address.to_string()]);
    let output = command.output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(stdout, "GET /in/a/tunnel HTTP/1.1", "{stderr}");
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).into_owned()
}

/// Ended, whether somebody took notice or not.
fn is_gone(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}
