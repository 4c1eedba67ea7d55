//! Memory for the observer itself, past the allocator of the program.

use crate::sys;

/// Memory from the kernel, filled with zeros: `malloc` may not be called between fork and exec.
pub(crate) struct Memory {
    pub(crate) at: *mut u8,
    length: usize,
}

impl Memory {
    pub(crate) fn allocate(length: usize) -> Option<Self> {
        let (protection, flags) = (
            sys::PROT_READ | sys::PROT_WRITE,
            sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
        );
        // SAFETY: fresh memory.
        let at = unsafe { sys::mmap(core::ptr::null_mut(), length, protection, flags, -1, 0) };
        (at != sys::MAP_FAILED).then(|| Self {
            at: at.cast(),
            length,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: memory of that length, which lives as long as this.
        unsafe { core::slice::from_raw_parts(self.at, self.length) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our own memory, which the kernel or the new process has read.
        unsafe { sys::munmap(self.at.cast(), self.length) };
    }
}
