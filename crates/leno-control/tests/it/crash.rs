//! A control plane's store is killed while it writes: everything it acknowledged is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use leno_control::store::{Embedded, Expect, Key, Store as _, Write};
use serde_json::json;

/// Names the directory in the process that writes.
const ROLE: &str = "LENO_TEST_WRITER";
/// Acknowledged writes before the kill.
const ACKNOWLEDGED: usize = 200;

fn key(name: u64) -> Key {
    Key::new("", "configmaps", "default", &format!("n{name}"))
}

/// Writes until it is killed, and tells each write once it was answered.
fn write_for_ever(directory: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Embedded::open(directory).unwrap();
    let mut round = store.revision();
    loop {
        // Two documents that must be of one round, whenever somebody looks.
        let writes = [round % 7, 100].map(|name| Write::Put {
            key: key(name),
            value: json!({"metadata": {}, "round": round}),
            expect: Expect::Anything,
        });
        let written = runtime.block_on(store.commit(writes.to_vec())).unwrap();
        println!("acknowledged {round} {}", written[1].revision);
        std::io::stdout().flush().unwrap();
        round += 1;
    }
}

#[test]
fn everything_acknowledged_survives_kill_9() {
    if let Some(directory) = std::env::var_os(ROLE) {
        write_for_ever(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::everything_acknowledged_survives_kill_9", "--nocapture"])
            .env(ROLE, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                let (_, rest) = line.split_once("acknowledged ")?;
                let (round, revision) = rest.split_once(' ')?;
                Some((round.parse::<u64>().ok()?, revision.parse::<u64>().ok()?))
            })
            .take(ACKNOWLEDGED)
            .last()
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Embedded::open(directory.path()).unwrap();
        let (round, revision) = acknowledged;
        assert!(store.revision() >= revision);
        let last = store.get(&key(100)).unwrap();
        let last_round = last.value["round"].as_u64().unwrap();
        assert!(last_round >= round);
        // A commit is whole: its two documents are of the same round.
        assert_eq!(store.get(&key(last_round % 7)).unwrap().value["round"], last_round);
        assert_eq!(store.revision(), last.revision);
    }
}
