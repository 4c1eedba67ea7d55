//! The table of a program's statics and of the instructions that use them: the binary computes it before the program
//! starts, and the observer reads it. All numbers are in the byte order of the machine, which both sides share.
//!
//! A [`HEADER`], the sites in ascending order, the statics in ascending order, the indices of the statics with a pointer to a lock
//! or an atomic number, then the statics' texts.

/// The first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"coffsit\n");
/// The size of the header: [`MAGIC`], the number of sites, the number of statics, the number of indices, the size of the texts, and
/// the number of the test before which statics with [`PUT_BACK`] are put back, counted from 1 in the order in which tests begin.
pub(crate) const HEADER: usize = 48;
/// The ending of the file's name, after the process's number.
pub(crate) const ENDING: &str = ".sites";

/// An instruction that uses a static. It calls and jumps nowhere, so it can be executed at another place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// Its address in the program's file.
    pub(crate) address: u32,
    /// The index of the static, unless [`how`](Self::how) says where the static is found.
    pub(crate) target: u32,
    pub(crate) length: u8,
    /// The position of the displacement of an operand relative to the next instruction; 0 if it has none.
    pub(crate) displacement: u8,
    /// [`READ`], [`WRITE`] or [`COUNT`], and possibly one of [`IN_ARGUMENT`], [`BEHIND_ARGUMENT`], [`ATTEMPT`] and [`RELEASE`].
    pub(crate) how: u8,
    /// The first byte, which the observer compares before it replaces it.
    pub(crate) first: u8,
}

/// A static variable.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Static {
    /// Its address in the program's file.
    pub(crate) address: u32,
    pub(crate) size: u32,
    /// The position of its name, and then of its source line and its type, in the texts.
    pub(crate) text: u32,
    pub(crate) name_length: u16,
    pub(crate) line_length: u16,
    pub(crate) type_length: u16,
    /// Any of [`LOCK`], [`LAZY`], [`COMPARED`], [`PUT_BACK`], [`GUARD`], [`EMPTY`], [`COUNTED`] and [`LOCK_BEHIND`].
    pub(crate) flags: u16,
    /// The position of a pointer in it that leads to a lock or an atomic number.
    pub(crate) pointer: u16,
    /// The size of what that pointer leads to; 0 if there is none.
    pub(crate) behind: u16,
}

/// A lock or a cell around a value: methods of the atomic numbers inside it do not change the value.
pub(crate) const LOCK: u16 = 1;
/// The first use may initialize it, so changed bytes count as a read.
pub(crate) const LAZY: u16 = 2;
/// The bytes at the end of each test are compared with those at its start. Set only if tests run one after the other.
pub(crate) const COMPARED: u16 = 4;
/// The bytes from before the first test are put back before the test whose number is in the header.
pub(crate) const PUT_BACK: u16 = 8;
/// It contains a lock that a thread can hold: a `Mutex` or an `RwLock`.
pub(crate) const GUARD: u16 = 16;
/// A lock without a value, whose uses are no accesses.
pub(crate) const EMPTY: u16 = 32;
/// What its pointer leads to begins with two numbers that count references.
pub(crate) const COUNTED: u16 = 64;
/// What its pointer leads to has a lock: numbers there may belong to it, and only guards show a change.
pub(crate) const LOCK_BEHIND: u16 = 128;
/// The size of the largest static that is compared or put back, in bytes.
pub(crate) const MOST_BYTES: u32 = 64 << 10;

pub(crate) const READ: u8 = 0;
pub(crate) const WRITE: u8 = 1;
/// A number is added to it, and the sum is not known to matter.
pub(crate) const COUNT: u8 = 2;
/// The access without the place of the static.
pub(crate) const ACCESS: u8 = 3;
/// Added to the access in a record: the bytes at the test's end differ from those at its start.
pub(crate) const CHANGED: u8 = 16;
/// The first argument is the static's address: the site is the entry of a function.
pub(crate) const IN_ARGUMENT: u8 = 4;
/// The static's address is where the first argument points to: a guard.
pub(crate) const BEHIND_ARGUMENT: u8 = 8;
/// The site is the entry of a function that takes the lock which its first argument points to, or tries to. The access is
/// [`READ`] if others may hold the lock at the same time.
pub(crate) const ATTEMPT: u8 = 32;
/// The site is the entry of a function that releases the lock which the first word of a guard points to; the first argument
/// points to the guard.
pub(crate) const RELEASE: u8 = 64;
/// With [`ATTEMPT`] or [`RELEASE`]: the second argument or word instead of the first.
pub(crate) const SECOND: u8 = 128;
