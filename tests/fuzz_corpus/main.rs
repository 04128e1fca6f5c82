//! Runs the bodies of the fuzz targets over their corpus, without a fuzzer.
//!
//! `fuzz/README.md` says how to fuzz, and what to do with a finding.

#[allow(unreachable_pub)] // the fuzz targets need them public
#[path = "../../fuzz/src/lib.rs"]
mod bodies;
mod findings;
mod seeds;

use std::path::{Path, PathBuf};

/// The inputs of one target, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join(target);
    let files = std::fs::read_dir(&folder).expect("a folder of inputs");
    let mut files: Vec<_> = files
        .map(|file| file.expect("a file of inputs").path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("reading an input");
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn run(target: &str, body: fn(&[u8])) {
    let inputs = corpus(target);
    assert!(!inputs.is_empty(), "no input for {target}");
    for (path, input) in inputs {
        if let Err(panic) = std::panic::catch_unwind(|| body(&input)) {
            eprintln!("the input was {}: {input:02x?}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target), bodies::$target);
        })*
    };
}

targets! { acl config connect decode machine passwords topics }

/// The files of [`seeds`] are what it makes; `MOUSTIQUE_WRITE=1` writes them
/// anew. Those that fuzzing found are not touched.
#[test]
fn seeds_are_up_to_date() {
    let write = std::env::var_os("MOUSTIQUE_WRITE").is_some();
    let mut stale = Vec::new();
    for (target, name, bytes) in seeds::all() {
        let file = folder().join(target).join(name);
        if write {
            let parent = file.parent().expect("a folder for inputs");
            std::fs::create_dir_all(parent).expect("making the folder");
            std::fs::write(&file, bytes).expect("writing an input");
        } else if std::fs::read(&file).ok().as_deref() != Some(&bytes[..]) {
            stale.push(file);
        }
    }
    assert!(
        stale.is_empty(),
        "run MOUSTIQUE_WRITE=1 cargo test --test fuzz_corpus: {stale:?}"
    );
}
