//! The promises of a capture, each kept in a real namespace.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use leno_sys::capture::{Family, Isolation, LaunchError, Sockets, StartError, Waiting, launch};
use leno_sys::original::original_destination;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

pub(crate) const NAMESPACE: Isolation =
    Isolation::Namespace { outbound_port: 15001, dns_port: 15053 };

pub(crate) const ALL: &[(&str, fn())] = &[
    ("a_dial_to_any_address_arrives_with_its_destination", a_dial_arrives),
    ("dns_is_taken_and_answered_from_the_asked_address", dns_is_taken),
    ("dns_over_tcp_is_taken_too", dns_over_tcp),
    ("other_datagrams_are_refused_at_once", other_datagrams),
    ("inbound_reaches_a_low_port_with_the_clients_address", inbound),
    ("the_supply_serves_many_holders_and_families", the_supply),
    ("the_hosts_loopback_is_out_of_reach", hosts_loopback),
    ("the_app_holds_no_capability", no_capability),
    ("the_environment_arrives", environment),
    ("a_missing_program_is_told", missing_program),
    ("without_isolation_the_app_just_starts", no_isolation),
    ("a_dropped_launch_leaves_no_process", dropped),
    ("a_process_with_threads_is_refused", threads),
    ("a_killed_supervisor_takes_the_app_along", killed_supervisor),
    ("an_app_may_not_get_out_by_a_namespace_of_its_own", nested_namespace),
    ("a_sysctl_that_forbids_namespaces_is_named", forbidden_by_sysctl),
];

fn app(words: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("app").args(words);
    command
}

/// Launches, starts with output to a pipe, and returns what is needed to watch.
fn start(words: &[&str]) -> (Running, Sockets, Option<leno_sys::capture::SocketSupply>) {
    let (output, input) = io::pipe().unwrap();
    let mut command = app(words);
    command.stdout(input);
    let mut waiting = launch(command, NAMESPACE).unwrap();
    let (sockets, supply) = (std::mem::take(&mut waiting.sockets), waiting.supply.take());
    (Running { pid: waiting.start(&[]).unwrap(), output: BufReader::new(output) }, sockets, supply)
}

struct Running {
    pid: Pid,
    output: BufReader<io::PipeReader>,
}

impl Running {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ends_well(mut self) -> String {
        let (_, status) = waitpid(Some(self.pid), WaitOptions::empty()).unwrap().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(status.exit_status(), Some(0), "{rest}");
        rest.trim().to_owned()
    }
}

fn a_dial_arrives() {
    for destination in ["10.96.0.10:80", "240.240.0.1:9080", "[2001:2::7]:443", "8.8.8.8:22"] {
        let (running, sockets, _) = start(&["dial", destination]);
        let address: SocketAddr = destination.parse().unwrap();
        let listener = of_family(&sockets.outbound, address);
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(original_destination(&stream).unwrap(), Some(address));
        writeln!(stream, "welcome").unwrap();
        drop(stream);
        assert_eq!(running.ends_well(), "welcome");
    }
}

fn of_family(listeners: &[TcpListener], address: SocketAddr) -> &TcpListener {
    let same = |l: &&TcpListener| l.local_addr().unwrap().is_ipv4() == address.is_ipv4();
    listeners.iter().find(same).expect("a listener of this family")
}

fn dns_is_taken() {
    for resolver in ["127.0.0.53:53", "127.0.0.1:53", "192.0.2.53:53", "[2001:db8::53]:53"] {
        let (running, sockets, _) = start(&["ask", resolver]);
        let is_v4 = !resolver.starts_with('[');
        let same = |s: &&std::net::UdpSocket| s.local_addr().unwrap().is_ipv4() == is_v4;
        let socket = sockets.dns_udp.iter().find(same).unwrap();
        let mut question = [0; 64];
        let (length, from) = socket.recv_from(&mut question).unwrap();
        assert_eq!(&question[..length], b"question");
        socket.send_to(b"answer", from).unwrap();
        assert_eq!(running.ends_well(), "answer", "{resolver}");
    }
}

fn dns_over_tcp() {
    let (running, sockets, _) = start(&["dial", "192.0.2.53:53"]);
    let (mut stream, _) = sockets.dns_tcp[0].accept().unwrap();
    writeln!(stream, "tcp").unwrap();
    drop(stream);
    assert_eq!(running.ends_well(), "tcp");
}

fn other_datagrams() {
    // (where to, what send says)
    for (to, said) in [("192.0.2.1:443", "PermissionDenied"), ("127.0.0.1:9", "sent")] {
        let (running, _sockets, _) = start(&["datagram", to]);
        assert_eq!(running.ends_well(), said, "{to}");
    }
}

fn inbound() {
    let client: IpAddr = "203.0.113.7".parse().unwrap();
    let (mut running, _sockets, supply) = start(&["serve", "0.0.0.0:80"]);
    assert_eq!(running.line(), "listening");
    let socket = supply.unwrap().take_as(client).unwrap();
    assert_eq!(first_line(socket, "127.0.0.1:80"), client.to_string());
    running.ends_well();
}

fn first_line(socket: socket2::Socket, to: &str) -> String {
    socket.set_nonblocking(false).unwrap();
    socket.connect(&to.parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut line = String::new();
    BufReader::new(TcpStream::from(socket)).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn the_supply() {
    for (bind, to, family) in
        [("127.0.0.1:7777", "127.0.0.1:7777", Family::V4), ("[::]:7777", "[::1]:7777", Family::V6)]
    {
        let (mut running, _sockets, supply) = start(&["serve", bind]);
        assert_eq!(running.line(), "listening");
        let first = supply.unwrap();
        let mut others: Vec<_> = (0..4).map(|_| first.open_another().unwrap()).collect();
        drop(first);
        for other in &mut others {
            for _ in 0..20 {
                other.take(family).unwrap();
            }
        }
        let mut last = others.pop().unwrap();
        drop(others);
        let seen = first_line(last.take(family).unwrap(), to);
        assert!(seen.parse::<IpAddr>().unwrap().is_loopback(), "{seen}");
        running.ends_well();
    }
}

fn hosts_loopback() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = host.local_addr().unwrap().to_string();
    let (running, _sockets, _) = start(&["refused", &address]);
    assert_eq!(running.ends_well(), "ConnectionRefused");
}

fn no_capability() {
    let (running, _sockets, _) = start(&["capabilities"]);
    assert_eq!(running.ends_well(), "none");
}

fn environment() {
    let (output, input) = io::pipe().unwrap();
    let mut command = app(&["variable", "POD_IP"]);
    command.stdout(input);
    let waiting = launch(command, NAMESPACE).unwrap();
    let pair = (OsString::from("POD_IP"), OsString::from("127.64.0.9"));
    let pid = waiting.start(&[pair]).unwrap();
    assert_eq!(Running { pid, output: BufReader::new(output) }.ends_well(), "127.64.0.9");
}

fn missing_program() {
    for isolation in [NAMESPACE, Isolation::None] {
        let waiting = launch(Command::new("/no/such/program"), isolation).unwrap();
        match waiting.start(&[]) {
            Err(StartError::Exec { source }) => assert_eq!(source.kind(), ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
    }
}

fn no_isolation() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = host.local_addr().unwrap().to_string();
    let (output, input) = io::pipe().unwrap();
    let mut command = app(&["dial", &address]);
    command.stdout(input);
    let waiting = launch(command, Isolation::None).unwrap();
    assert!(waiting.sockets.outbound.is_empty() && waiting.supply.is_none());
    let pid = waiting.start(&[]).unwrap();
    writeln!(host.accept().unwrap().0, "direct").unwrap();
    assert_eq!(Running { pid, output: BufReader::new(output) }.ends_well(), "direct");
}

fn dropped() {
    let waiting: Waiting = launch(app(&["sleep"]), NAMESPACE).unwrap();
    let pid = waiting.pid();
    drop(waiting);
    assert!(!fs::exists(format!("/proc/{}", pid.as_raw_nonzero())).unwrap());
}

fn threads() {
    let parked = thread::spawn(thread::park);
    match launch(Command::new("true"), NAMESPACE) {
        Err(LaunchError::Threads { threads: 2 }) => {}
        other => panic!("{other:?}"),
    }
    parked.thread().unpark();
    parked.join().unwrap();
}

fn killed_supervisor() {
    let mut supervisor = app(&["supervise"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let app = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let namespace = fs::read_link(format!("/proc/{}/ns/net", app.as_raw_nonzero())).unwrap();
    let ended = pidfd_open(app, PidfdFlags::empty()).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    let mut polled = [rustix::event::PollFd::new(&ended, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&limit)).unwrap(), 1, "the app lives on");
    // The supply too: nobody is left in the namespace.
    let deadline = Instant::now() + Duration::from_secs(10);
    while members(&namespace) > 0 {
        assert!(Instant::now() < deadline, "a process is left in the namespace");
        thread::yield_now();
    }
}

fn members(namespace: &std::path::Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lives = |entry: &fs::DirEntry| {
        fs::read_link(entry.path().join("ns/net")).is_ok_and(|found| found == namespace)
    };
    processes.filter(lives).count()
}

fn nested_namespace() {
    if !has_unshare() {
        return println!("no unshare(1) here");
    }
    let program = env::current_exe().unwrap();
    let (output, input) = io::pipe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "-n"]).arg(program).args(["app", "refused", "192.0.2.1:80"]);
    command.stdout(input);
    let waiting = launch(command, NAMESPACE).unwrap();
    let pid = waiting.start(&[]).unwrap();
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    let mut seen = String::new();
    BufReader::new(output).read_to_string(&mut seen).unwrap();
    // Forbidden outright, or an empty network.
    assert!(status.exit_status() != Some(0) || seen == "NetworkUnreachable\n", "{seen}");
}

fn forbidden_by_sysctl() {
    if !has_unshare() {
        return println!("no unshare(1) here");
    }
    // The limit counts per namespace, so a nested one can be its own machine.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" app probe";
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "sh", "-c", script]).arg(env::current_exe().unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("user.max_user_namespaces = 0 forbids it"), "{said}");
}

fn has_unshare() -> bool {
    Command::new("unshare").arg("--version").output().is_ok()
}
