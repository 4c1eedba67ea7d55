//! Texts that are put together from parts, in one piece of memory.

use crate::sys::{self, Path};

/// Memory that is used from its beginning to its end.
pub(crate) struct Buffer {
    left: &'static mut [u8],
    used: usize,
}

impl Buffer {
    /// Returns `None` if there is no memory of that size.
    pub(crate) fn new(size: usize) -> Option<Self> {
        Some(Self {
            left: sys::memory(size)?,
            used: 0,
        })
    }

    /// Adds to the text that is being put together. Returns `None` if there is no room.
    pub(crate) fn push(&mut self, part: &[u8]) -> Option<()> {
        let end = self.used.checked_add(part.len())?;
        self.left.get_mut(self.used..end)?.copy_from_slice(part);
        self.used = end;
        Some(())
    }

    pub(crate) fn push_number(&mut self, number: u64, fewest_digits: usize) -> Option<()> {
        let mut digits = [b'0'; 20];
        let (mut left, mut first) = (number, digits.len());
        while left > 0 || digits.len() - first < fewest_digits.max(1) {
            first = first.checked_sub(1)?;
            *digits.get_mut(first)? = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.push(digits.get(first..)?)
    }

    /// Ends the text, and returns it.
    pub(crate) fn finish(&mut self) -> &'static [u8] {
        let (text, left) = core::mem::take(&mut self.left).split_at_mut(self.used);
        (self.left, self.used) = (left, 0);
        text
    }

    /// Returns a text made of these parts.
    pub(crate) fn text(&mut self, parts: &[&[u8]]) -> Option<&'static [u8]> {
        parts.iter().try_for_each(|part| self.push(part))?;
        Some(self.finish())
    }

    /// Returns a path made of these parts.
    pub(crate) fn path(&mut self, parts: &[&[u8]]) -> Option<Path<'static>> {
        parts.iter().try_for_each(|part| self.push(part))?;
        self.push(b"\0")?;
        Path::new(self.finish())
    }
}

/// A list for the kernel: addresses, and a zero behind the last.
pub(crate) struct List {
    places: &'static mut [usize],
    used: usize,
}

impl List {
    /// Returns a list with room for that many addresses.
    pub(crate) fn new(room: usize) -> Option<Self> {
        let bytes = sys::memory(room.checked_add(1)?.checked_mul(size_of::<usize>())?)?;
        // SAFETY: numbers are bytes as well, and memory from the kernel is aligned to a page.
        let (_, places, _) = unsafe { bytes.align_to_mut::<usize>() };
        Some(Self { places, used: 0 })
    }

    /// Adds a text that has a zero at its end.
    pub(crate) fn push(&mut self, text: *const u8) -> Option<()> {
        let place = self.places.get_mut(self.used)?;
        *place = text as usize;
        self.used += 1;
        Some(())
    }

    pub(crate) fn all(&self) -> &[usize] {
        self.places.get(..=self.used).unwrap_or_default()
    }
}
