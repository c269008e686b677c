//! Wrong input, through the program: each ends with the exit code of the table and says what, where and what is right.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::mesh::{LENO, Mesh};

fn check(output: &Output, line: &str, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    for part in parts {
        assert!(said.contains(part), "{line}: {part:?} is not in {said}");
    }
    assert!(!said.contains("panicked"), "{line}: {said}");
}

/// Runs the program in `folder`; `line` is split at spaces.
fn run(folder: &Path, kubeconfig: &Path, line: &str) -> Output {
    let mut command = Command::new(LENO);
    command.args(line.split_whitespace()).current_dir(folder).env("KUBECONFIG", kubeconfig);
    command.env("HOME", folder).env_remove("LENO_DATA").env_remove("XDG_DATA_HOME");
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn a_wrong_command_line_is_told_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    fs::write(folder.path().join("broken"), "clusters: [").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    fs::write(folder.path().join("empty"), "# nothing\n").unwrap();
    // (line, exit code, what is said)
    let table: [(&str, i32, &[&str]); 30] = [
        ("--nope", 2, &["unexpected argument '--nope'", "Usage: leno"]),
        ("up --nope", 2, &["unexpected argument '--nope'"]),
        ("lift-off", 2, &["unrecognized subcommand 'lift-off'"]),
        (
            "up --front-door 127.0.0.1",
            2,
            &["--front-door", "write IP:PORT, such as 127.0.0.1:15080"],
        ),
        ("up --xds here:1", 2, &["--xds", "write IP:PORT"]),
        (
            "up --data d --front-door 192.0.2.1:0",
            2,
            &["--front-door 192.0.2.1:0 cannot be listened on"],
        ),
        ("up --data file", 2, &["file cannot be opened", "not a directory"]),
        ("up --data /proc/none", 2, &["/proc/none cannot be opened"]),
        ("up --data e --trust-domain A_B", 2, &["--trust-domain", "a-z"]),
        (
            "up --data d --front-door 127.0.0.1:9 --xds 127.0.0.1:9",
            2,
            &["--front-door and --xds are both 127.0.0.1:9", "a port of its own"],
        ),
        ("up --data d --xds 0.0.0.0:0", 2, &["--xds 0.0.0.0:0: plaintext", "--xds-tls"]),
        ("up --certificate-seconds 0", 2, &["--certificate-seconds", "is not in 1.."]),
        ("control --roles config", 2, &["every role runs in one process: say all"]),
        ("run --service x --capture magic -- true", 2, &["'magic'", "auto, netns, env"]),
        ("run --service x --expose 127.0.0.1 -- true", 2, &["--port <PORT>"]),
        ("proxy --config empty", 2, &["empty", "there is nothing in it; an Envoy bootstrap"]),
        ("get vs -o wat", 2, &["'wat'", "table, json, yaml"]),
        ("control --roles kitchen", 2, &["--roles: \"kitchen\" is none of"]),
        ("get cm", 3, &["LN0201", "kubeconfig", "nowhere", "cannot be read"]),
        ("get cm --kubeconfig broken", 2, &["kubeconfig broken: not YAML"]),
        ("get gizmos", 2, &["no kind gizmos; there are", "virtualservices"]),
        ("apply", 2, &["--file <FILE>"]),
        ("explain LN9999", 2, &["no code LN9999; leno explain lists them"]),
        ("run --service X -- true", 2, &["--service \"X\"", "lower-case"]),
        ("run --service x", 2, &["<PROGRAM>"]),
        ("run --service x --port 70000 -- true", 2, &["--port", "70000"]),
        ("proxy", 2, &["--config FILE, or --control HOST:PORT with --node FILE"]),
        ("proxy --config nowhere.yaml", 2, &["nowhere.yaml"]),
        ("proxy --config broken", 2, &["broken"]),
        ("proxy config everything x", 2, &["everything", "listeners"]),
    ];
    for (line, code, parts) in table {
        check(&run(folder.path(), &nowhere, line), line, code, parts);
    }
}

const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n";
const ROUTE: &str =
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\n";

#[test]
fn a_wrong_file_is_told_by_line_and_nothing_of_it_is_applied() {
    let mesh = Mesh::start();
    let folder = tempfile::tempdir().unwrap();
    let (good, route) = (GOOD, ROUTE);
    // (content, exit code, what is said)
    let table: [(String, i32, &[&str]); 12] = [
        (String::new(), 2, &["f.yaml: there is no document in it"]),
        ("# nothing\n---\n".into(), 2, &["there is no document in it"]),
        ("just text\n".into(), 2, &["f.yaml:1: not a document"]),
        (format!("{good}---\n{good}data: {{a: [\n"), 2, &["f.yaml:8:11: unclosed bracket"]),
        (
            format!("{good}---\nkind: ConfigMap\nmetadata: {{name: a}}\n"),
            2,
            &["f.yaml:5: apiVersion and kind"],
        ),
        (
            format!("{good}---\n{}", good.replace("ConfigMap", "Gizmo")),
            2,
            &["f.yaml:5: no kind Gizmo in v1; there are"],
        ),
        (
            format!("{good}---\napiVersion: v1\nkind: Secret\nmetadata: {{}}\n---\nkind: X\n"),
            2,
            &["f.yaml:5: metadata.name", "f.yaml:9: apiVersion"],
        ),
        (
            format!("{route}spec: {{hosts: [r], http: [{{timeout: soon}}]}}\n"),
            1,
            &["spec.http[0].timeout", "such as \"1.5s\""],
        ),
        (
            format!(
                "{route}spec: {{hosts: [r], htp: [], http: [{{route: [{{destination: {{host: r, prot: 1}}}}]}}]}}\n"
            ),
            1,
            &[
                "unknown field \"spec.htp\"",
                "unknown field \"spec.http[0].route[0].destination.prot\"",
            ],
        ),
        (
            format!("apiVersion: v1\nkind: List\nitems:\n- {}", "{kind: ConfigMap}\n"),
            2,
            &["f.yaml:1: items[0]: apiVersion and kind"],
        ),
        (good.replace("good", "Not Good"), 1, &["metadata.name"]),
        (
            format!("{}data: {{a: {}}}\n", good.replace("good", "huge"), "x".repeat(4 << 20)),
            1,
            &["configmap/huge", "limit is 3145728 bytes"],
        ),
    ];
    for (content, code, parts) in table {
        fs::write(folder.path().join("f.yaml"), &content).unwrap();
        let line = "apply -f f.yaml";
        let shown = format!("{line}: {}", content.chars().take(200).collect::<String>());
        check(&run(folder.path(), &mesh.kubeconfig(), line), &shown, code, parts);
        assert!(mesh.names("configmaps").is_empty(), "{shown}");
    }
    check(
        &run(folder.path(), &mesh.kubeconfig(), "apply -f none.yaml"),
        "none",
        2,
        &["none.yaml", "No such file"],
    );
}

#[test]
fn what_the_server_refuses_of_a_file_is_one_documents_each() {
    let mesh = Mesh::start();
    let folder = tempfile::tempdir().unwrap();
    let (good, route) = (GOOD, ROUTE);
    fs::write(folder.path().join("f.yaml"), [good.as_bytes(), b"data: {a: \"\xff\"}\n"].concat())
        .unwrap();
    let broken = run(folder.path(), &mesh.kubeconfig(), "apply -f f.yaml");
    check(&broken, "broken UTF-8", 2, &["f.yaml:4: not UTF-8"]);

    let three = format!(
        "{good}---\n{route}spec: {{hosts: [r], http: [{{timeout: soon}}]}}\n---\n{}",
        good.replace("good", "also")
    );
    fs::write(folder.path().join("f.yaml"), three).unwrap();
    let output = run(folder.path(), &mesh.kubeconfig(), "apply -f f.yaml");
    check(
        &output,
        "three",
        6,
        &["virtualservice/r: ", "spec.http[0].timeout", "1 of 3 documents failed"],
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "configmap/good applied\nconfigmap/also applied\n"
    );
    assert_eq!(mesh.names("configmaps"), ["also", "good"]);
    assert!(mesh.names("virtualservices").is_empty());
}

#[test]
fn who_may_not_and_who_is_not_there_have_codes_of_their_own() {
    let mesh = Mesh::start();
    let folder = tempfile::tempdir().unwrap();
    let own = fs::read_to_string(mesh.kubeconfig()).unwrap();
    let edited = |name: &str, key: &str, value: &str| {
        let line = |line: &str| match line.split_once(key) {
            Some((indent, _)) => format!("{indent}{key}{value}\n"),
            None => format!("{line}\n"),
        };
        fs::write(folder.path().join(name), own.lines().map(line).collect::<String>()).unwrap();
    };
    edited("stranger", "token: ", "wrong");
    edited("away", "server: ", "https://127.0.0.1:1");
    edited("nonsense", "server: ", "ftp://x");
    // (line, exit code, what is said)
    let table: [(&str, i32, &[&str]); 6] = [
        ("get cm --kubeconfig stranger", 4, &["Unauthorized", "bearer token"]),
        ("get cm --kubeconfig away", 3, &["LN0201", "https://127.0.0.1:1 cannot be reached"]),
        ("get cm --kubeconfig nonsense", 2, &["ftp://x"]),
        ("get cm nobody", 1, &["\"nobody\" not found"]),
        ("delete cm", 2, &["which configmap?"]),
        ("proxy config listeners nobody", 1, &["no connected proxy nobody"]),
    ];
    for (line, code, parts) in table {
        check(&run(folder.path(), &mesh.kubeconfig(), line), line, code, parts);
    }
}

#[test]
fn what_is_in_the_way_of_a_start_is_named() {
    let mesh = Mesh::start();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let up = |data: &Path, ports: &str| {
        run(folder.path(), &nowhere, &format!("up --data {} {ports}", data.display()))
    };
    const FREE: &str =
        "--front-door 127.0.0.1:0 --xds 127.0.0.1:0 --xds-tls 127.0.0.1:0 --metrics 127.0.0.1:0";
    check(
        &up(mesh.folder.path(), FREE),
        "a second one",
        5,
        &["is in use by process", "--data", "(LN0002)"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for flag in crate::mesh::PORTS {
        let own = format!("{flag} 127.0.0.1:0");
        let ports = FREE.split(" --").map(|word| format!("--{}", word.trim_start_matches("--")));
        let ports: Vec<String> = ports
            .map(|word| if word == own { format!("{flag} {address}") } else { word })
            .collect();
        let said = format!(
            "{address} is in use by another process; choose another address with {flag} (LN0001)"
        );
        check(&up(&folder.path().join("ports"), &ports.join(" ")), flag, 5, &[&said]);
    }

    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("store.redb"), "nonsense").unwrap();
    check(&up(&damaged, FREE), "damaged", 1, &["the store was damaged", "is kept at", "(LN0003)"]);
    let kept: Vec<_> = fs::read_dir(&damaged)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.display().to_string().contains("corrupt-"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "nonsense");

    let open = folder.path().join("open");
    fs::create_dir_all(open.join("ca")).unwrap();
    let key = open.join("ca/token.key");
    fs::write(&key, [1; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    check(&up(&open, FREE), "a readable secret", 1, &["has mode 0644", "chmod 600", "(LN0006)"]);
}
