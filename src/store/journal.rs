//! A look at the engine's journal before the engine opens it.
//!
//! The engine takes the first thing in its journal that is not whole for the
//! place where a crash cut it off, and forgets the rest without a word; or it
//! refuses to open. A write that a crash cut off is no loss, for nobody was
//! told that it was kept. But whole groups of changes behind such a place are:
//! they were written, and the disk has lost what was before them. So this
//! reads the journal in the same way, tells the two apart, and cuts the file
//! itself where it has to.
//!
//! The form is that of fjall's version 3 (`FJL` and 3 in its file `version`):
//! each batch is a start, its items and an end with their checksum (XXH3).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::error::StoreError;

/// What ends each batch.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// A journal that lost something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) file: PathBuf,
    /// Where what is whole ends.
    pub(super) at: u64,
    /// Bytes after it that were written once.
    pub(super) bytes: u64,
    /// Whether later journals go on after it.
    pub(super) in_between: bool,
}

/// The journals that have lost something, oldest first.
pub(super) fn inspect(store: &Path) -> Result<Vec<Loss>, StoreError> {
    let mut journals = Vec::new();
    let entries = fs::read_dir(store).map_err(|e| StoreError::io("read", store, &e))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable_by_key(|(number, _): &(u64, _)| *number);
    let newest = journals.last().map(|(number, _)| *number);
    let mut losses = Vec::new();
    for (number, file) in journals {
        let found = whole_part(&file).map_err(|e| StoreError::io("read", &file, &e))?;
        if let Some((at, bytes)) = found {
            let in_between = Some(number) != newest;
            losses.push(Loss {
                file,
                at,
                bytes,
                in_between,
            });
        }
    }
    Ok(losses)
}

/// Cuts a journal where what is whole ends.
pub(super) fn cut(loss: &Loss) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(&loss.file)?;
    file.set_len(loss.at)?;
    file.sync_all()
}

/// Where the whole batches end, and how much was written after that, if the
/// rest is more than a write that was cut off.
fn whole_part(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut whole = 0;
    while let Ok(bytes) = batch(&mut reader, length - whole) {
        whole += bytes;
    }
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(whole))?;
    let (written, trailers) = rest(&mut file)?;
    Ok((trailers > 0).then_some((whole, written)))
}

/// Reads one batch; how many bytes it takes.
fn batch(reader: &mut impl Read, room: u64) -> io::Result<u64> {
    const BROKEN: io::ErrorKind = io::ErrorKind::InvalidData;
    let start: [u8; 13] = array(reader)?;
    if start[0] != 1 {
        return Err(BROKEN.into());
    }
    let items = u32::from_le_bytes([start[1], start[2], start[3], start[4]]);
    let mut size = start.len() as u64;
    let mut hash = Xxh3::new();
    for _ in 0..items {
        let [kind] = array(reader)?;
        hash.update(&[kind]);
        let body = match kind {
            2 => {
                let head: [u8; 20] = array(reader)?;
                hash.update(&head);
                size += 1 + head.len() as u64;
                let key = u16::from_le_bytes([head[10], head[11]]);
                let value = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
                u64::from(key) + u64::from(value)
            }
            4 => {
                size += 1;
                8
            }
            _ => return Err(BROKEN.into()),
        };
        size += body;
        if size > room {
            return Err(BROKEN.into());
        }
        let mut body = reader.by_ref().take(body);
        let mut buffer = [0; 4096];
        loop {
            match body.read(&mut buffer)? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
    }
    let end: [u8; 13] = array(reader)?;
    let checksum = hash.digest().to_le_bytes();
    if end[0] == 3 && end[1..9] == checksum && end[9..] == TRAILER {
        Ok(size + end.len() as u64)
    } else {
        Err(BROKEN.into())
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// How much there is up to the zeros that the engine fills a journal up with,
/// and how many batches end in it.
fn rest(file: &mut File) -> io::Result<(u64, usize)> {
    let (mut position, mut written, mut trailers) = (0, 0, 0);
    let zeros = vec![0; 64 * 1024];
    let mut buffer = zeros.clone();
    let mut kept = 0;
    loop {
        let count = file.read(&mut buffer[kept..])?;
        if count == 0 {
            return Ok((written, trailers));
        }
        let chunk = &buffer[..kept + count];
        // Mostly all of it are zeros, which a comparison passes over fastest.
        if *chunk != zeros[..chunk.len()]
            && let Some(last) = chunk.iter().rposition(|byte| *byte != 0)
        {
            written = position + last as u64 + 1;
            trailers += chunk.windows(4).filter(|bytes| *bytes == TRAILER).count();
        }
        // A trailer may lie across two chunks.
        let keep = chunk.len().min(3);
        position += (chunk.len() - keep) as u64;
        let end = chunk.len();
        buffer.copy_within(end - keep..end, 0);
        kept = keep;
    }
}
