//! A disk that runs full: an error, no loss, and all goes on when there is
//! room. The disk is a small one in memory, in a name space of its own.

use std::path::Path;

use moustique::store::{ErrorKind, Store, free_space, open};

use crate::killed::{begin, step};
use crate::small_disk;

/// The directory, for the process that has the disk mounted there.
const CHILD: &str = "MOUSTIQUE_STORE_FULL";

#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else {
        return;
    };
    let (path, ballast) = (
        Path::new(&directory).join("store"),
        Path::new(&directory).join("ballast"),
    );
    std::fs::write(&ballast, vec![1; 20 << 20]).expect("room for the ballast");
    let mut store = open(&path, 0).expect("a store").store;
    store.commit(&begin()).expect("a commit");
    let mut number = 0;
    let error = loop {
        // More joins the queues than leaves them.
        let records: Vec<_> = (0..8)
            .flat_map(|index| step(number + 1 + index).into_iter().step_by(2))
            .collect();
        match store.commit(&records).and_then(|()| store.sync()) {
            Ok(()) => number += 8,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error.kind, ErrorKind::Full | ErrorKind::Failed),
        "{error}"
    );
    assert!(free_space(Path::new(&directory)).expect("a figure") < 8 << 20);
    drop(store);
    // It opens at once or with an error that says what to do.
    if let Err(error) = open(&path, 0) {
        assert_eq!(error.kind, ErrorKind::Full, "{error}");
    }
    std::fs::remove_file(&ballast).expect("its end");
    let opened = open(&path, 0).expect("there is room");
    assert_eq!(opened.remarks, [""; 0]);
    let last = opened.recovered.sessions[0].queue.next - 1;
    assert!(last >= number, "{number} was kept, {last} is there");
    let mut store = opened.store;
    store.commit(&step(last + 1)).expect("all goes on");
    println!("all went on after {number}");
}

#[test]
fn a_full_disk_is_an_error_and_no_loss() {
    let check = "a store on a full disk";
    let Some(finished) = small_disk::run(check, 96, "full::child", CHILD) else {
        return;
    };
    assert!(finished.stdout.contains("all went on after"), "{finished}");
}
