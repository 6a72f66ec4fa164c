//! A store that fails and is opened anew.

use super::*;
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_reopened_store_is_open_once_the_memory_follows_and_never_after_another_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    assert_eq!(store.health(), StoreHealth::Open);
    store.reopen().expect("opened anew");
    assert_eq!(store.health(), StoreHealth::Reopening, "the memory does not follow yet");
    apply(&store, &[put("a", 1.0)]);
    store.health.set(StoreHealth::Failed);
    assert!(!store.opened(), "a step that fails meanwhile is not forgotten");
    assert_eq!(store.health(), StoreHealth::Failed);
    let refused = store.prepare(&[put("b", 1.0)], &["h".to_owned()], &[]).commit(|| true);
    assert!(matches!(refused, Err(StoreError::Reopening)));
    store.reopen().expect("opened anew");
    assert!(store.opened());
    assert_eq!(store.health(), StoreHealth::Open);
    assert!(!store.opened(), "there was nothing to end");
}

#[test]
fn after_a_write_in_which_the_library_gave_up_there_is_none_until_the_store_is_opened_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    apply(&store, &[put("a", 1.0)]);
    let given_up: Result<(), StoreError> = store.write(|_| std::panic::resume_unwind(Box::new(())));
    assert!(matches!(given_up, Err(StoreError::Unreadable(_))), "{given_up:?}");
    assert_eq!(store.health(), StoreHealth::Failed);
    let refused = store.prepare(&[put("b", 1.0)], &["h".to_owned()], &[]).commit(|| true);
    assert!(matches!(refused, Err(StoreError::Reopening)));
    store.reopen().expect("opened anew");
    assert!(store.opened());
    apply(&store, &[put("b", 1.0)]);
    drop(store);
    let (items, damage) = Store::open(store_in(folder.path())).expect("opens").items().expect("read");
    assert_eq!((items.len(), damage), (2, Damage::default()));
}

#[test]
fn a_file_that_is_gone_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    apply(&store, &[put("a", 1.0)]);
    let (file, aside) = (folder.path().join(FILE), folder.path().join("aside"));
    std::fs::rename(&file, &aside).expect("taken away");
    for _ in 0..2 {
        assert!(matches!(store.reopen(), Err(StoreError::Folder { .. })));
        assert_eq!(store.health(), StoreHealth::Failed);
        assert!(!file.exists(), "none is made in its place");
        assert!(matches!(store.items(), Err(StoreError::Reopening)));
    }
    std::fs::rename(&aside, &file).expect("put back");
    store.reopen().expect("opened anew");
    assert_eq!(store.items().expect("items").0.len(), 1);
}

#[test]
fn a_new_file_takes_no_name_that_another_has() {
    let folder = tempfile::tempdir().expect("folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    std::fs::write(&new, b"new").expect("written");
    std::fs::write(&old, b"old").expect("written");
    let refused = Disk::default().publish_new(&new, &old).expect_err("refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&old).expect("read"), b"old");
    std::fs::remove_file(&old).expect("removed");
    Disk::default().publish_new(&new, &old).expect("the name is free");
    assert_eq!(std::fs::read(&old).expect("read"), b"new");
    assert!(!new.exists());
}

#[test]
fn nobody_waits_for_a_store_that_is_opened_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Arc::new(Store::open(store_in(folder.path())).expect("opens"));
    let held = store.database.write().expect("sound");
    let (tell, told) = mpsc::channel();
    let reader = store.clone();
    std::thread::spawn(move || {
        let read = matches!(reader.profile("a"), Err(StoreError::Reopening));
        let written = reader.prepare(&[put("a", 1.0)], &[], &[]).commit(|| true);
        let _ = tell.send(read && matches!(written, Err(StoreError::Reopening)));
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
    drop(held);
}

#[test]
fn a_backup_ends_when_the_store_fails() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    apply(&store, &[put("a", 1.0), put("b", 2.0)]);
    let mut taken = 0;
    let backup = store.backup(|_| {
        taken += 1;
        store.health.set(StoreHealth::Failed);
        Ok::<_, StoreError>(())
    });
    assert!(matches!(backup, Err(StoreError::Reopening)), "{backup:?}");
    assert_eq!(taken, 1, "it would keep the store from being opened anew");
}
