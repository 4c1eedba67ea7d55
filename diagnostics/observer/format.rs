//! What the observer's log looks like: shared by the observer, which writes it, and the binary, which reads it.
//!
//! A log is a part of the account for each process: a header, then records, each a multiple of 8 bytes. All numbers are in the byte
//! order of the machine, which both sides share. A record's first word is written when its place is taken, and once
//! more, with [`DONE`], when it is complete: what a killed process left half-written is known by that.

/// The first eight bytes of a log.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"cofflog\n");
/// The version of the log that this build writes. The observer travels inside the binary: no other is ever read.
pub(crate) const VERSION: u64 = 1;
/// Where the first record begins.
pub(crate) const HEADER: usize = 128;
/// In the first word of each record.
pub(crate) const MARK: u16 = 0xc0f0;
/// Added to the mark of a record that is complete.
pub(crate) const DONE: u16 = 1;
/// The size of a record without its texts.
pub(crate) const RECORD: usize = 40;
/// As many bytes of a text are kept.
pub(crate) const LONGEST: usize = 8192;

/// The words of a header, by their places.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    /// Where the next record goes.
    pub(crate) const CURSOR: usize = 2;
    /// Records that found no place.
    pub(crate) const DROPPED: usize = 3;
    pub(crate) const PID: usize = 4;
    pub(crate) const PARENT: usize = 5;
    /// 1 for the process that a runner started, 0 for one that a test started.
    pub(crate) const IS_TEST: usize = 6;
    /// Whether raw system calls are seen: [`super::RAW_SEEN`] and its kin.
    pub(crate) const RAW: usize = 7;
    /// The same moment by two clocks, in nanoseconds: since 1970, and the one that records use.
    pub(crate) const REAL_TIME: usize = 8;
    pub(crate) const MONOTONIC: usize = 9;
    /// As far as the file has room.
    pub(crate) const LIMIT: usize = 10;
    /// Not 0 while somebody makes more room.
    pub(crate) const GROWING: usize = 11;
    /// Threads whose creator could not be noted.
    pub(crate) const UNKNOWN_THREADS: usize = 12;
    /// From here on the log is in the other file; 0 if all of it is in the account.
    pub(crate) const SPILLED_AT: usize = 13;
    /// The process's slot in the account.
    pub(crate) const SLOT: usize = 14;
}

/// Nobody asked for raw system calls to be seen.
pub(crate) const RAW_OFF: u64 = 0;
/// Raw system calls are seen.
pub(crate) const RAW_SEEN: u64 = 1;
/// The kernel or this libc cannot do it.
pub(crate) const RAW_REFUSED: u64 = 2;
/// They were seen until the program set up a seccomp filter or a dispatch of its own.
pub(crate) const RAW_ENDED: u64 = 3;

/// The call failed. What it would have changed is as it was, and its caller knows that.
pub(crate) const FAILED: u8 = 1;
/// The change was to what is there already.
pub(crate) const SAME: u8 = 2;
/// The thread paused after it, as it was asked to: after its first access to the resource.
pub(crate) const PAUSED_FIRST: u8 = 4;
/// The same after one of the others.
pub(crate) const PAUSED: u8 = 8;

/// The call failed because of what is there: `EEXIST`, `EADDRINUSE`, `ENOTEMPTY`, `EBUSY`.
pub(crate) const TAKEN: u8 = 16;
/// The call failed because of what is not there, or is no longer: `ENOENT`.
pub(crate) const ABSENT: u8 = 32;

/// In the value of `Child`, above the slot that the process has in the account: its number is not known.
pub(crate) const IN_SLOT: u64 = 1 << 31;
/// In the value of `Open` and `Remove`: it is a POSIX shared-memory object or semaphore.
pub(crate) const SHARED_MEMORY: u64 = 1 << 31;
/// In the value of `BindTcp` and `BindUdp`, above the port: the wildcard is that of IPv6 alone.
pub(crate) const ONLY_V6: u64 = 1 << 16;
/// In the value of `Locked`: others may hold it too.
pub(crate) const SHARED: u64 = 1;
/// In the value of `Locked`: it keeps processes apart, and no threads of one.
pub(crate) const BETWEEN_PROCESSES: u64 = 2;

/// In the value of `Open`, `Look` and `Change`: were the path a link, it was about the link itself. The number that `open`
/// has for it.
pub(crate) const ITSELF: u64 = 0o400_000;

/// The maximum number of targets in a request to pause.
pub(crate) const MOST_TARGETS: usize = 32;
/// The maximum size of their names together, with a byte after each.
pub(crate) const TARGET_NAMES: usize = 4096;

/// The sort of accesses after which a thread pauses, as a number in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Target {
    /// A path, what lies below it, and listings of the directory that holds it.
    File = 1,
    /// A TCP or UDP port.
    Port,
    /// A variable; all of them if the name is empty.
    Env,
    Cwd,
    Umask,
    /// Something named that is neither file nor port.
    Name,
    /// No resource: the name of the test with pauses of its own.
    Test,
}

impl Target {
    const ALL: [Self; 7] = [
        Self::File,
        Self::Port,
        Self::Env,
        Self::Cwd,
        Self::Umask,
        Self::Name,
        Self::Test,
    ];

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|target| *target as u8 == number)
    }
}

/// Stands for the run in place of a test's number: what a fixture's factory does is no test's.
pub(crate) const RUN: u32 = u32::MAX;

/// What a record says. Of a test or of the process itself up to `Stack`, then what a test did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The program: its path.
    Program = 1,
    /// A part of the program in memory: its path, its base address.
    Module,
    /// The working directory from now on: its path; its number.
    Folder,
    /// A thread that the main thread began: the test with this number, its name as it stands in memory, if it was found.
    Test,
    /// The short name that the test's thread gave itself.
    ShortName,
    /// The test's thread is over.
    TestOver,
    /// The test started a process: its number, or [`IN_SLOT`] and its slot.
    Child,
    /// What the runner says of this process: name of the test, name of the program.
    Named,
    /// The test holds a lock on a file from now on: its path, what stands for it; [`SHARED`], [`BETWEEN_PROCESSES`].
    Locked,
    /// And no longer: nothing, what stands for it; the test that held it.
    Unlocked,
    /// The test waits for another thread: nothing, from where. Only where it is asked to pause at a variable: std has a
    /// lock of its own around all of them.
    Waits,
    /// Calls that led somewhere, the innermost first: return addresses; their number, which records refer to.
    Stack,

    /// A file was opened: path, flags.
    Open = 32,
    /// A file's or folder's existence or attributes were looked at.
    Look,
    /// A folder was listed.
    List,
    MakeFolder,
    RemoveFolder,
    Remove,
    /// From the first path to the second.
    Rename,
    /// The first path gets a second name.
    Link,
    /// A link at the second path that says the first.
    Symlink,
    /// A file's length or attributes were changed: path.
    Change,
    /// A variable was read: its name.
    GetVariable,
    SetVariable,
    UnsetVariable,
    ClearVariables,
    /// The working directory was changed: the path.
    ChangeFolder,
    /// The working directory was asked for.
    GetFolder,
    /// The file mode mask was set.
    Mask,
    /// A TCP port was asked for: its address; the port, [`ONLY_V6`].
    BindTcp,
    BindUdp,
    ConnectTcp,
    /// A socket in the file system: path, or name after a `@`.
    BindUnix,
    ConnectUnix,
    /// The kernel chose a port, which is nobody else's while it is held: the port, and 65536 more if it is a UDP port.
    GivenPort,
    /// A TCP port was leased: the port.
    LeasedPort,
    /// Something with a name that is neither file nor port: the name; 1 if it was made or removed.
    Other,
}

impl Kind {
    const ALL: [Self; 37] = [
        Self::Program,
        Self::Module,
        Self::Folder,
        Self::Test,
        Self::ShortName,
        Self::TestOver,
        Self::Child,
        Self::Named,
        Self::Locked,
        Self::Unlocked,
        Self::Waits,
        Self::Stack,
        Self::Open,
        Self::Look,
        Self::List,
        Self::MakeFolder,
        Self::RemoveFolder,
        Self::Remove,
        Self::Rename,
        Self::Link,
        Self::Symlink,
        Self::Change,
        Self::GetVariable,
        Self::SetVariable,
        Self::UnsetVariable,
        Self::ClearVariables,
        Self::ChangeFolder,
        Self::GetFolder,
        Self::Mask,
        Self::BindTcp,
        Self::BindUdp,
        Self::ConnectTcp,
        Self::BindUnix,
        Self::ConnectUnix,
        Self::GivenPort,
        Self::LeasedPort,
        Self::Other,
    ];

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Whether this is something that a test did to a resource.
    pub(crate) fn is_access(self) -> bool {
        self as u8 >= Self::Open as u8
    }
}
