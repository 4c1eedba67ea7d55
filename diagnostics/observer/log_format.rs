//! The format of the observer's log: shared by the observer, which writes it, and the binary, which reads it.
//!
//! Each process has a log in a part of the account: a header, then records, each a multiple of 8 bytes. All numbers are
//! in the byte order of the machine, which both sides share. A record's first word is written when its place is taken,
//! and once more, with [`DONE`], when it is complete: so a record that a killed process left incomplete is recognized.

/// The first eight bytes of a log.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"cofflog\n");
/// The version of the log that this build writes. The observer travels inside the binary: no other is ever read.
pub(crate) const VERSION: u64 = 1;
/// Where the first record begins.
pub(crate) const HEADER: usize = 144;
/// In the first word of each record.
pub(crate) const MARK: u16 = 0xc0f0;
/// Added to the mark of a record that is complete.
pub(crate) const DONE: u16 = 1;
/// The size of a record without its texts.
pub(crate) const RECORD: usize = 40;
/// The maximum number of bytes to keep of a record's text.
pub(crate) const LONGEST: usize = 8192;

/// The positions of the words in a header.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    /// The position of the next record.
    pub(crate) const CURSOR: usize = 2;
    /// The number of records for which there was no room.
    pub(crate) const DROPPED: usize = 3;
    pub(crate) const PID: usize = 4;
    pub(crate) const PARENT: usize = 5;
    /// 1 for the process that a runner started, 0 for one that a test started.
    pub(crate) const IS_TEST: usize = 6;
    /// [`super::RAW_SEEN`] or another of the `RAW_` values.
    pub(crate) const RAW: usize = 7;
    /// The same moment by two clocks, in nanoseconds: since 1970, and the one that records use.
    pub(crate) const REAL_TIME: usize = 8;
    pub(crate) const MONOTONIC: usize = 9;
    /// The end of the room that the log has in its file.
    pub(crate) const LIMIT: usize = 10;
    /// Not 0 while a thread makes more room.
    pub(crate) const GROWING: usize = 11;
    /// The number of threads whose creator could not be recorded.
    pub(crate) const UNKNOWN_THREADS: usize = 12;
    /// The position from which on the log is in the spill file; 0 if all of it is in the account.
    pub(crate) const SPILLED_AT: usize = 13;
    /// The process's slot in the account.
    pub(crate) const SLOT: usize = 14;
    /// [`super::EXITED`] and the status with which the process exited; 0 if it has not, or was ended by a signal.
    pub(crate) const STATUS: usize = 15;
    /// [`super::MEMORY_SEEN`] or another of the `MEMORY_` values.
    pub(crate) const MEMORY: usize = 16;
    /// The moment at which the process exited, by the clock of records.
    pub(crate) const EXITED_AT: usize = 17;
}

/// Raw system calls are not recorded, because that was not requested.
pub(crate) const RAW_OFF: u64 = 0;
/// Raw system calls are recorded.
pub(crate) const RAW_SEEN: u64 = 1;
/// Raw system calls are not recorded, because the kernel or this libc does not support it.
pub(crate) const RAW_REFUSED: u64 = 2;
/// Raw system calls were recorded until the program set up a seccomp filter or a dispatch of its own.
pub(crate) const RAW_ENDED: u64 = 3;

/// Statics are not observed, because that was not requested.
pub(crate) const MEMORY_OFF: u64 = 0;
/// Statics are observed.
pub(crate) const MEMORY_SEEN: u64 = 1;
/// Statics are not observed: the system allows no changes of the program's code, or raw system calls are not reported.
pub(crate) const MEMORY_REFUSED: u64 = 2;
/// Statics were observed until the program restricted its system calls or needed SIGTRAP blocked.
pub(crate) const MEMORY_ENDED: u64 = 3;
/// Statics are not observed: another process traced the program at its start, and would get its signals first.
pub(crate) const MEMORY_TRACED: u64 = 4;

/// In the header's `STATUS`: the process exited.
pub(crate) const EXITED: u64 = 1 << 32;
/// The maximum number of bytes to keep of what a test harness prints.
pub(crate) const MOST_PRINTED: u64 = 4 << 20;
/// In the value of `Printed`: what follows was not kept.
pub(crate) const TRUNCATED: u64 = 1;

/// The call failed: it changed nothing, and its caller knows that.
pub(crate) const FAILED: u8 = 1;
/// The call set the value that was there already.
pub(crate) const SAME: u8 = 2;
/// The thread paused as requested, after its first access to a target.
pub(crate) const PAUSED_FIRST: u8 = 4;
/// The thread paused as requested, after a later access to a target.
pub(crate) const PAUSED: u8 = 8;

/// The call failed because something exists or is in use: `EEXIST`, `EADDRINUSE`, `ENOTEMPTY`, `EBUSY`.
pub(crate) const TAKEN: u8 = 16;
/// The call failed because something does not exist: `ENOENT`.
pub(crate) const ABSENT: u8 = 32;

/// In the value of `Child`: the rest is the process's slot in the account and not its number, which is unknown.
pub(crate) const IN_SLOT: u64 = 1 << 31;
/// In the value of `Open` and `Remove`: it is a POSIX shared-memory object or semaphore.
pub(crate) const SHARED_MEMORY: u64 = 1 << 31;
/// In the value of `BindTcp` and `BindUdp`, above the port: the wildcard address excludes IPv4.
pub(crate) const ONLY_V6: u64 = 1 << 16;
/// In the value of `Locked`, `TakesLock` and `LocksUnseen`: a lock that others may hold at the same time.
pub(crate) const SHARED: u64 = 1;
/// In the value of `Locked`: a lock that separates processes, and not the threads of one process.
pub(crate) const BETWEEN_PROCESSES: u64 = 2;
/// In the value of `Locked`: a lock that separates the threads of one process. Its text is a name.
pub(crate) const BETWEEN_THREADS: u64 = 4;

/// In the value of `Open`, `Look` and `Change`: if the path is a link, the access is to the link itself. Equal to
/// `O_NOFOLLOW`.
pub(crate) const ITSELF: u64 = 0o400_000;

/// Declares an enum whose variants are written as numbers and read back.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident $(= $number:literal)?,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum $name {
            $($(#[$variant_meta])* $variant $(= $number)?,)*
        }

        impl $name {
            /// Returns the variant of that number, if there is one.
            pub(crate) fn of(number: u8) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|known| *known as u8 == number)
            }
        }
    };
}

/// The maximum number of targets in a request to pause.
pub(crate) const MOST_TARGETS: usize = 32;
/// The maximum size of their names together, with a byte after each.
pub(crate) const TARGET_NAMES: usize = 4096;

numbered! {
    /// The kind of a target: accesses to it are followed by a pause. A number in the request.
    Target {
        /// A path, everything below it, and listings of the folder that contains it.
        File = 1,
        /// A TCP or UDP port.
        Port,
        /// A variable; all of them if the name is empty.
        Env,
        Cwd,
        Umask,
        /// A named object that is neither a file nor a port.
        Name,
        /// No resource: the name of the test with pauses of its own.
        Test,
        /// The locale of the process.
        Locale,
        /// The disposition of a signal: its name.
        Signal,
        /// Files opened for writing, and programs executed.
        Executable,
        /// Waits for child processes.
        Children,
        /// Files opened, and descriptors closed twice.
        Descriptors,
        /// No resource: the name of the test that begins once another one pauses, after it set a target variable or before it
        /// uses a target static.
        Late,
        /// A static: its path, or its path and the line of its declaration, as in [`Kind::UseStatic`].
        Static,
        /// No resource: the number of uses of statics that [`Target::Test`] makes before the only one with a pause.
        Skipped,
    }
}

numbered! {
    /// What became of a requested order of tests. The events from `Unreadable` on are reasons why it could not be kept.
    OrderEvent {
        Requested = 1,
        /// All tests have arrived, and run one after the other.
        Kept,
        /// The request could not be read.
        Unreadable,
        /// The name of a test could not be read.
        Nameless,
        /// A test is not in the order.
        Unknown,
        /// Two tests have one name.
        Repeated,
        /// No thread could be started for a test.
        NoThread,
        /// Not all tests arrived in time.
        Deadline,
    }
}

/// The run, in place of a test's number: accesses by a fixture's factory belong to no test.
pub(crate) const RUN: u32 = u32::MAX;

numbered! {
    /// The kind of a record. Up to `Order` it is about a test or the process; later kinds are accesses. Each variant
    /// documents its texts and, after a semicolon, its value.
    Kind {
        /// The program: its path.
        Program = 1,
        /// A module of the program in memory: its path, its base address.
        Module,
        /// The working directory from now on: its path; its number.
        Folder,
        /// A test: its thread's name as read from memory, if it was found; its number. Or a test that a custom harness began:
        /// its name, the number that its thread had before; its number.
        Test,
        /// The short name that the test's thread set for itself.
        ShortName,
        /// The end of the test's thread.
        TestOver,
        /// A process that the test started: its number, or [`IN_SLOT`] and its slot.
        Child,
        /// The runner's names for this process: of the test, of the program.
        Named,
        /// The test locked a file: its path, the lock's hash; [`SHARED`], [`BETWEEN_PROCESSES`], [`BETWEEN_THREADS`].
        Locked,
        /// A lock was released: nothing, the lock's hash; the test that held it.
        Unlocked,
        /// The test waits for another thread. Recorded only if pauses at a variable are requested: std has one lock of its
        /// own for all variables. Or the test has paused at a static, and the other one did not end during the pause.
        Waits,
        /// A stack of calls: return addresses, innermost first; the stack's number, which records refer to.
        Stack,
        /// The test harness printed to standard output: a part of the text; [`TRUNCATED`].
        Printed,
        /// The tests run in the requested order, or cannot: the name of a test; an [`OrderEvent`].
        Order,
        /// The bytes of a static from before the first test were put back: its name, the line of its declaration.
        PutBack,
        /// The thread is about to take a lock in a static, or to try to: the static's name, the lock's address in the program's
        /// file and, in the upper half, the site; [`SHARED`], and above eight bits the lock's place in a mask of locks.
        TakesLock,
        /// The thread is about to release such a lock: the same, without a place.
        ReleasesLock,
        /// The locks that are in use at the accesses of the thread from here on: nothing, a mask of locks.
        LocksInUse,
        /// The test uses a static with a lock in it: the static's name.
        UsesLock,
        /// From here on threads may take and release locks unseen until the next test begins: nothing, the site in the upper
        /// half; [`SHARED`].
        LocksUnseen,

        /// A file was opened: path, flags.
        Open = 32,
        /// A file's or folder's existence or attributes were read: path.
        Look,
        /// A folder was listed: path.
        List,
        MakeFolder,
        RemoveFolder,
        Remove,
        /// A file was renamed: old path, new path.
        Rename,
        /// A hard link was made: existing path, new path.
        Link,
        /// A symbolic link was made: its own path.
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
        /// The working directory was read.
        GetFolder,
        /// The file mode mask was set: to this value.
        Mask,
        /// The locale of the process was set: a hash of the category and the name.
        SetLocale,
        /// The locale of the process was read.
        GetLocale,
        /// A TCP port was bound: its address; the port, [`ONLY_V6`].
        BindTcp,
        BindUdp,
        ConnectTcp,
        /// A Unix socket was bound: its path, or its name after an `@`.
        BindUnix,
        ConnectUnix,
        /// The kernel chose a free port: the port, and 65536 more if it is a UDP port.
        GivenPort,
        /// A TCP port was leased: the port.
        LeasedPort,
        /// An access to a named object that is neither a file nor a port: the name; 1 if it was made or removed.
        Other,
        /// The disposition of a signal was set: the signal's name; a mark of the handler, 0 for the default.
        SetSignal,
        /// The disposition of a signal was read, or the process sent itself the signal: the signal's name.
        GetSignal,
        /// A program is about to be executed in a new process: its path, or a name to be looked up in `PATH`.
        Execute,
        /// The process waits for any of its children.
        WaitAny,
        /// The process waits for one of its children.
        WaitChild,
        /// The test closed a descriptor that it had closed before.
        CloseTwice,
        /// A static was used: its name, the line of its declaration; how, as in the table of sites, perhaps with `CHANGED`.
        UseStatic,
    }
}

impl Kind {
    /// Returns whether this is a test's access to a resource.
    pub(crate) fn is_access(self) -> bool {
        self as u8 >= Self::Open as u8
    }
}
