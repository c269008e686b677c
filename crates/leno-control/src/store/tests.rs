use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key(name: &str) -> Key {
    Key::new("", "configmaps", "default", name)
}

fn put(name: &str, n: u64, expect: Expect) -> Write {
    Write::Put { key: key(name), value: json!({"metadata": {"name": name}, "n": n}), expect }
}

fn delete(name: &str) -> Write {
    Write::Delete { key: key(name), expect: Expect::Anything }
}

const ALL: Range<'static> = Range { group: "", plural: "configmaps", namespace: None };

fn names(listing: &Listing) -> Vec<(String, u64)> {
    listing.documents.iter().map(|found| (found.key.name.clone(), found.revision)).collect()
}

#[tokio::test]
async fn what_was_answered_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    store.commit(vec![put("a", 1, Expect::Absent)]).await.unwrap();
    store
        .commit(vec![put("b", 1, Expect::Absent), put("a", 2, Expect::Revision(1))])
        .await
        .unwrap();
    store.commit(vec![delete("b")]).await.unwrap();
    let before = store.everything();
    drop(store);
    let store = Embedded::open(directory.path()).unwrap();
    assert_eq!(store.revision(), 4);
    assert_eq!(store.everything().documents, before.documents);
    let mut events = store.subscribe(0).unwrap();
    let changes: Vec<Change> = events.ready().unwrap().iter().map(|event| event.change).collect();
    assert_eq!(changes, [Change::Created, Change::Created, Change::Updated, Change::Deleted]);
}

#[tokio::test]
async fn a_commit_whose_expectation_fails_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    store.commit(vec![put("a", 1, Expect::Absent)]).await.unwrap();
    let outcomes = [
        store.commit(vec![put("b", 1, Expect::Absent), put("a", 2, Expect::Absent)]).await,
        store.commit(vec![put("b", 1, Expect::Absent), put("a", 2, Expect::Revision(7))]).await,
        store.commit(vec![put("b", 1, Expect::Revision(1))]).await,
        store.commit(vec![put("b", 1, Expect::Absent), delete("c")]).await,
    ];
    let kinds: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Err(CommitError::Exists { .. }) => "exists",
            Err(CommitError::Conflict { expected: 7, found: 1, .. }) => "conflict",
            Err(CommitError::Missing { .. }) => "missing",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["exists", "conflict", "missing", "missing"]);
    assert_eq!(names(&store.list(ALL)), [("a".to_owned(), 1)]);
}

#[tokio::test]
async fn a_second_store_in_the_same_directory_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Embedded::open(directory.path()).unwrap();
    let pid = std::process::id().to_string();
    match Embedded::open(directory.path()) {
        Err(OpenError::InUse { pid: found, .. }) => assert_eq!(found, pid),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_file_is_kept_aside_whole() {
    for damage in [b"not a database at all".to_vec(), vec![0; 100_000]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.redb");
        std::fs::write(&path, &damage).unwrap();
        let kept = match Embedded::open(directory.path()) {
            Err(OpenError::Corrupt { kept, .. }) => kept,
            other => panic!("{other:?}"),
        };
        assert_eq!(std::fs::read(kept).unwrap(), damage);
        assert!(!path.exists());
        assert_eq!(Embedded::open(directory.path()).unwrap().revision(), 0);
    }
}

#[tokio::test]
async fn a_subscription_that_comes_too_late_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open_with_history(directory.path(), 4).unwrap();
    let mut slow = store.subscribe(0).unwrap();
    for n in 0..10 {
        store.commit(vec![put("a", n, Expect::Anything)]).await.unwrap();
    }
    let late = Compacted { asked: 0, oldest: 6 };
    assert_eq!(slow.ready().unwrap_err(), late);
    assert_eq!(store.subscribe(0).unwrap_err(), late);
    assert_eq!(store.list_at(ALL, 5).unwrap_err(), Compacted { asked: 5, oldest: 6 });
    let mut in_time = store.subscribe(6).unwrap();
    assert_eq!(in_time.next().await.unwrap().len(), 4);
    drop(store);
    let store = Embedded::open_with_history(directory.path(), 4).unwrap();
    assert_eq!(store.subscribe(5).unwrap_err().oldest, 6);
    assert_eq!(store.subscribe(6).unwrap().ready().unwrap().len(), 4);
}

/// A file on a medium that can run full.
#[derive(Debug)]
struct Medium {
    file: redb::backends::FileBackend,
    full: Arc<AtomicBool>,
}

impl Medium {
    fn check(&self) -> Result<(), io::Error> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl redb::StorageBackend for Medium {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.check()?;
        self.file.set_len(length)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.file.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_by_name_and_the_store_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let medium = Arc::clone(&full);
    let opener = Box::new(move |path: &std::path::Path| {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        let file = redb::backends::FileBackend::new(file)?;
        redb::Database::builder().create_with_backend(Medium { file, full: Arc::clone(&medium) })
    });
    let store = Embedded::open_with(directory.path(), opener, 100).unwrap();
    store.commit(vec![put("a", 1, Expect::Absent)]).await.unwrap();
    full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        match store.commit(vec![put("b", 1, Expect::Absent)]).await {
            Err(CommitError::Full { .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(names(&store.list(ALL)), [("a".to_owned(), 1)]);
    }
    full.store(false, Ordering::SeqCst);
    store.commit(vec![put("c", 1, Expect::Absent)]).await.unwrap();
    assert_eq!(names(&store.list(ALL)), [("a".to_owned(), 1), ("c".to_owned(), 2)]);
    drop(store);
    let store = Embedded::open(directory.path()).unwrap();
    assert_eq!(names(&store.list(ALL)), [("a".to_owned(), 1), ("c".to_owned(), 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Replaying the log from any revision gives the state, and so does undoing it.
    #[test]
    fn the_log_and_the_state_say_the_same(
        writes in proptest::collection::vec((0..4_usize, any::<bool>()), 1..24),
        at in 0..24_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let store = Embedded::open(directory.path()).unwrap();
            let mut states = vec![store.list(ALL)];
            for (n, (name, gone)) in writes.iter().enumerate() {
                let name = ["a", "b", "c", "d"][*name];
                let write = if *gone { delete(name) } else { put(name, n as u64, Expect::Anything) };
                if store.commit(vec![write]).await.is_ok() {
                    states.push(store.list(ALL));
                }
            }
            let at = usize::try_from(at).unwrap().min(states.len() - 1);
            let then = &states[at];
            let mut replayed: std::collections::BTreeMap<Key, Arc<Document>> = then
                .documents.iter().map(|found| (found.key.clone(), Arc::clone(found))).collect();
            for event in store.subscribe(then.revision).unwrap().ready().unwrap() {
                let key = event.document.key.clone();
                let before = match event.change {
                    Change::Deleted => replayed.remove(&key),
                    _ => replayed.insert(key, Arc::clone(&event.document)),
                };
                assert_eq!(before, event.previous);
            }
            let now: Vec<_> = replayed.into_values().collect();
            assert_eq!(now, store.list(ALL).documents);
            assert_eq!(store.list_at(ALL, then.revision).unwrap().documents, then.documents);
        });
    }
}
