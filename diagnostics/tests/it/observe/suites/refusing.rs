//! Becomes the program of its arguments, with a filter as of hardened systems: code cannot be made writable.

use std::ffi::c_int;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

fn main() {
    const MPROTECT: u64 = 10;
    const REFUSED: u64 = 0x0005_0000 | 13;
    let filter = [
        0x20,
        // The number, then the third argument: the rights to write and to execute.
        0x0300_0015 | MPROTECT << 32,
        0x20 | 32 << 32,
        0x54 | 6 << 32,
        0x0001_0015 | 6 << 32,
        0x7fff_0000_0000_0006,
        6 | REFUSED << 32,
    ];
    let program = [filter.len() as u64, filter.as_ptr() as u64];
    unsafe {
        assert_eq!(prctl(38, 1_u64, 0_u64, 0_u64, 0_u64), 0);
        assert_eq!(prctl(22, 2_u64, program.as_ptr(), 0_u64, 0_u64), 0);
    }
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    panic!("{}", Command::new(&words[0]).args(&words[1..]).exec());
}
