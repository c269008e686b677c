//! What runs inside: each app does one thing and says on standard output what
//! it saw, or ends with status 1.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode};
use std::{env, fs, thread};

use leno_sys::capture::{Isolation, LaunchError, Settings, diagnose, launch};

use crate::cases::NAMESPACE;

pub(crate) fn run(words: &[&str]) -> ExitCode {
    match words {
        ["probe"] => return probe(),
        ["dial", address] => dial(address),
        ["refused", address] => {
            let error = TcpStream::connect(address).unwrap_err();
            println!("{:?}", error.kind());
        }
        ["ask", resolver] => ask(resolver),
        ["datagram", address] => datagram(address),
        ["serve", address] => serve(address),
        ["variable", name] => println!("{}", env::var(name).unwrap()),
        ["capabilities"] => capabilities(),
        ["sleep"] => loop {
            thread::park();
        },
        ["supervise"] => supervise(),
        other => panic!("no such app: {other:?}"),
    }
    ExitCode::SUCCESS
}

fn probe() -> ExitCode {
    match launch(Command::new("true"), NAMESPACE) {
        Ok(_) => ExitCode::SUCCESS,
        Err(LaunchError::Step { step, source }) => {
            eprintln!("{}", diagnose(step, &source, &Settings::read()));
            ExitCode::FAILURE
        }
        Err(error) => panic!("{error}"),
    }
}

fn dial(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(stream.peer_addr().unwrap().to_string(), address, "the app sees whom it dialled");
    stream.write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    print!("{line}");
}

fn ask(resolver: &str) {
    let any = if resolver.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).unwrap();
    // Connected: an answer from any other address would not arrive.
    socket.connect(resolver).unwrap();
    socket.send(b"question").unwrap();
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).unwrap();
    println!("{}", String::from_utf8_lossy(&answer[..length]));
}

fn datagram(address: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    match socket.send_to(b"x", address) {
        Ok(_) => println!("sent"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

fn serve(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    println!("listening");
    let (mut stream, peer) = listener.accept().unwrap();
    writeln!(stream, "{}", peer.ip()).unwrap();
}

fn capabilities() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines().filter(|line| line.starts_with("Cap")) {
        let (_, value) = line.split_once(':').unwrap();
        assert_eq!(value.trim().trim_start_matches('0'), "", "{line}");
    }
    println!("none");
}

/// Stands in for `leno run`: holds a captured app until it is killed.
fn supervise() {
    let mut app = Command::new(env::current_exe().unwrap());
    app.args(["app", "sleep"]);
    let waiting = launch(app, NAMESPACE).unwrap();
    let pid = waiting.pid();
    assert!(matches!(NAMESPACE, Isolation::Namespace { .. }));
    waiting.start(&[]).unwrap();
    println!("{}", pid.as_raw_nonzero());
    loop {
        thread::park();
    }
}
