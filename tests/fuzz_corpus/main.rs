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

/// Writes the files of [`seeds`] anew; those that fuzzing found stay.
#[test]
#[ignore = "changes the corpus; run it when seeds.rs or the input's form changes"]
fn write_seeds() {
    for (target, name, bytes) in seeds::all() {
        let folder = folder().join(target);
        std::fs::create_dir_all(&folder).expect("a folder for inputs");
        std::fs::write(folder.join(name), bytes).expect("writing an input");
    }
}
