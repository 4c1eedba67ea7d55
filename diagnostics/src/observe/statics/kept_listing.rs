//! The listings of programs, cached in files: an unchanged program is read once, though reruns start it hundreds of times.

use super::Unwatched;
use super::listing::Listing;
use object::elf::{FileHeader64, NT_GNU_BUILD_ID};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, ReadRef};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of the files, in cofferdam's own folder.
pub(in crate::observe) const FOLDER: &str = "statics";
/// The name of the link to that folder in the logs' folder and in those of reruns.
pub(in crate::observe) const KEPT: &str = "listings";
/// The number of files to keep: those used last.
const MOST: usize = 100;

/// The reasons that are kept in place of a listing.
const KEPT_REASONS: [Unwatched; 4] = [
    Unwatched::Stripped,
    Unwatched::NoDebugInfo,
    Unwatched::UnknownStd,
    Unwatched::DynamicStd,
];

/// The file in which a program's listing is kept, or the reason that there is none.
#[derive(Debug)]
pub(super) struct KeptListing {
    path: PathBuf,
}

impl KeptListing {
    /// Returns the file for a program as it is now, in a folder of such files; `None` if the program cannot be identified.
    pub(super) fn of(program: &Path, folder: &Path) -> Option<Self> {
        let own = fs::metadata("/proc/self/exe").ok()?;
        let mut hash = DefaultHasher::new();
        identify(program, &mut hash).ok()?;
        // Another build of this program may find other statics.
        hash_metadata(&own, &mut hash);
        Some(Self {
            path: folder.join(format!("{:016x}", hash.finish())),
        })
    }

    /// Returns the listing, or the reason that there is none.
    pub(super) fn read(&self) -> Option<Result<Listing, Unwatched>> {
        let mut file = File::open(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        note_use(&file);
        let reason = KEPT_REASONS
            .into_iter()
            .find(|reason| reason.to_string().as_bytes() == bytes);
        match reason {
            Some(reason) => Some(Err(reason)),
            None => Listing::from_json(&bytes).map(Ok),
        }
    }

    /// Writes the outcome, unless another attempt may have another one, and removes the oldest files. Errors are ignored.
    pub(super) fn write(&self, outcome: &Result<Listing, Unwatched>) {
        let bytes = match outcome {
            Ok(listing) => listing.to_json().ok(),
            Err(reason) => KEPT_REASONS
                .contains(reason)
                .then(|| reason.to_string().into_bytes()),
        };
        let Some(bytes) = bytes else { return };
        if cofferdam::file::write_atomic(&self.path, &bytes).is_ok() {
            self.path.parent().into_iter().for_each(remove_oldest);
        }
    }
}

/// Adds the identity of the program's content: its build ID and size, or else its path and the file's identity and time.
fn identify(program: &Path, hash: &mut DefaultHasher) -> io::Result<()> {
    let file = File::open(program)?;
    let metadata = file.metadata()?;
    match build_id(&ReadCache::new(file)) {
        Some(id) => {
            id.hash(hash);
            metadata.size().hash(hash);
        }
        None => {
            program.hash(hash);
            hash_metadata(&metadata, hash);
        }
    }
    Ok(())
}

fn hash_metadata(metadata: &Metadata, hash: &mut DefaultHasher) {
    let time = (metadata.mtime(), metadata.mtime_nsec());
    (metadata.dev(), metadata.ino(), metadata.size(), time).hash(hash);
}

/// Returns the linker's hash of a program. A build ID shorter than any hash was set by hand, and may stay the same while the
/// program changes.
fn build_id<'p, R: ReadRef<'p>>(program: R) -> Option<Vec<u8>> {
    const SHORTEST: usize = 8;
    let header = FileHeader64::<Endianness>::parse(program).ok()?;
    let endian = header.endian().ok()?;
    for section in header.section_headers(endian, program).ok()? {
        let Some(mut notes) = section.notes(endian, program).ok().flatten() else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
                return Some(note.desc().to_vec()).filter(|id| id.len() >= SHORTEST);
            }
        }
    }
    None
}

/// Sets a file's time, by which the oldest are removed.
fn note_use(file: &File) {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    // Without it, the file may be removed too early and is written again.
    let _ = futimens(
        file,
        &Timestamps {
            last_access: time(UTIME_OMIT),
            last_modification: time(UTIME_NOW),
        },
    );
}

fn remove_oldest(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    let old = all.len().saturating_sub(MOST);
    for (_, path) in all.drain(..old) {
        // A file that cannot be removed now is tried again after the next listing.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::site_table::Site;

    /// Returns a file for a program of these bytes, in a folder of its own.
    fn kept(folder: &Path, program: &[u8]) -> KeptListing {
        let path = folder.join("program");
        fs::write(&path, program).unwrap();
        KeptListing::of(&path, folder).unwrap()
    }

    fn own_program() -> Vec<u8> {
        #[expect(clippy::disallowed_methods, reason = "a program with symbols")]
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    /// Returns a program whose only content is a note with this build ID.
    fn program_with(id: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 2 * 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put =
            |place: usize, number: &[u8]| bytes[place..place + number.len()].copy_from_slice(number);
        put(40, &64_u64.to_le_bytes()); // The sections' headers begin there,
        put(58, &64_u16.to_le_bytes()); // have this size,
        put(60, &2_u16.to_le_bytes()); // and are two: an empty one, and the notes'.
        put(128 + 4, &7_u32.to_le_bytes());
        put(128 + 24, &192_u64.to_le_bytes());
        put(128 + 32, &(16 + id.len() as u64).to_le_bytes());
        put(128 + 48, &4_u64.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend((id.len() as u32).to_le_bytes());
        bytes.extend(NT_GNU_BUILD_ID.0.to_le_bytes());
        bytes.extend(b"GNU\0");
        bytes.extend(id);
        bytes
    }

    #[test]
    fn a_build_id_is_read_unless_it_is_no_hash() {
        let id = [7; 20];
        assert_eq!(build_id(&program_with(&id)[..]), Some(id.to_vec()));
        assert_eq!(build_id(&program_with(&[1, 2, 3, 4])[..]), None);
        assert_eq!(build_id(&b"#!/bin/sh\n"[..]), None);
    }

    #[test]
    fn a_copied_program_keeps_its_listing_and_a_changed_one_does_not() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |kept: &KeptListing| kept.path.file_name().unwrap().to_owned();
        let of = |folder: &Path, id: u8| name(&kept(folder, &program_with(&[id; 20])));
        assert_eq!(of(first.path(), 1), of(second.path(), 1));
        assert_ne!(of(first.path(), 1), of(first.path(), 2));
        let without = |folder: &Path, text: &[u8]| name(&kept(folder, text));
        assert_ne!(without(first.path(), b"text"), without(second.path(), b"text"));
        assert_ne!(without(first.path(), b"text"), without(first.path(), b"texts"));
    }

    #[test]
    fn only_a_complete_listing_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), &own_program());
        assert_eq!(kept.read(), None);
        let listing = Listing {
            statics: Vec::new(),
            sites: vec![Site {
                address: 0x1234,
                target: 2,
                length: 7,
                displacement: 3,
                how: 1,
                first: 0x48,
            }],
        };
        kept.write(&Ok(listing.clone()));
        assert_eq!(kept.read(), Some(Ok(listing)));
        let text = fs::read(&kept.path).unwrap();
        for damaged in [&text[..text.len() - 1], &text[1..], &text[..8], b""] {
            fs::write(&kept.path, damaged).unwrap();
            assert_eq!(kept.read(), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_reason_is_kept_unless_it_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), b"a program");
        kept.write(&Err(Unwatched::Unreadable));
        assert_eq!(kept.read(), None);
        for reason in KEPT_REASONS {
            kept.write(&Err(reason));
            assert_eq!(kept.read(), Some(Err(reason)));
        }
    }

    #[test]
    fn a_listing_that_was_used_is_not_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), b"a program");
        kept.write(&Err(Unwatched::Stripped));
        let time = SystemTime::UNIX_EPOCH;
        File::open(&kept.path).unwrap().set_modified(time).unwrap();
        assert!(kept.read().is_some());
        assert!(fs::metadata(&kept.path).unwrap().modified().unwrap() > time);
    }

    #[test]
    fn the_oldest_listings_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST + 5 {
            let file = File::create(folder.path().join(number.to_string())).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            file.set_modified(time).unwrap();
        }
        remove_oldest(folder.path());
        let left = |number: usize| folder.path().join(number.to_string()).exists();
        assert!(!left(4) && left(5) && left(MOST + 4));
    }
}
