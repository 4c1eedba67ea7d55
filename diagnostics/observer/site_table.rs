//! The table of a program's statics and of the instructions that use them: the binary computes it before the program
//! starts, and the observer reads it. All numbers are in the byte order of the machine, which both sides share.
//!
//! A [`HEADER`], the sites in ascending order, the statics in ascending order, then the statics' texts.

/// The first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"coffsit\n");
/// The size of the header: [`MAGIC`], the number of sites, the number of statics, the size of the texts.
pub(crate) const HEADER: usize = 32;
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
    /// [`READ`], [`WRITE`] or [`COUNT`], and possibly [`IN_ARGUMENT`] or [`BEHIND_ARGUMENT`].
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
    /// The position of its name, and then of its source line, in the texts.
    pub(crate) text: u32,
    pub(crate) name_length: u16,
    pub(crate) line_length: u16,
    /// 1 for a lock or a cell around a value: methods of the atomic numbers inside it do not change the value.
    pub(crate) is_lock: u32,
}

pub(crate) const READ: u8 = 0;
pub(crate) const WRITE: u8 = 1;
/// A number is added to it, and the sum is not known to matter.
pub(crate) const COUNT: u8 = 2;
/// The access without the place of the static.
pub(crate) const ACCESS: u8 = 3;
/// The first argument is the static's address: the site is the entry of a function.
pub(crate) const IN_ARGUMENT: u8 = 4;
/// The static's address is where the first argument points to: a guard.
pub(crate) const BEHIND_ARGUMENT: u8 = 8;
