//! The resources that tests share, and the ways to use them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Something that tests share: a file, a port, a variable.
///
/// ```
/// use cofferdam::Resource;
/// assert_eq!(Resource::port(5432).to_string(), "port 5432");
/// assert_eq!(Resource::name("queue orders").to_string(), "name queue orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    kind: ResourceKind,
    name: String,
}

/// Declares the kinds: each with its key in journals and JSON, its words in messages, and its scope.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident: $key:literal, $label:literal, $scope:ident;)+) => {
        /// The kind of a [`Resource`], with its scope, key and label.
        ///
        /// Exhaustive on purpose: the compiler names each place that a new kind affects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ResourceKind {
            $($(#[$doc])+ $kind,)+
        }

        impl ResourceKind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Returns the word that stands for the kind in journals and JSON.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$kind => $key,)+
                }
            }

            /// Returns the words for the kind in messages and reports.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$kind => $label,)+
                }
            }

            /// Returns the scope of resources of this kind.
            pub fn scope(self) -> Scope {
                match self {
                    $(Self::$kind => Scope::$scope,)+
                }
            }

            /// Returns the kind with this [`key`](Self::key).
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.key() == key)
            }
        }
    };
}

kinds! {
    /// A file, by absolute path.
    File: "file", "file", Machine;
    /// A directory whose entries tests create, list and remove, by absolute path.
    Directory: "directory", "directory", Machine;
    /// A Git repository: its index, refs and working tree, by the absolute path of its root.
    GitRepository: "git-repository", "Git repository", Machine;
    /// A SQLite database with its journal, by absolute path.
    Database: "database", "SQLite database", Machine;
    /// A family of paths made from a counter, a process ID or a timestamp, with `*` for the digits.
    TempName: "temp-name", "temporary name", Machine;
    /// A Unix socket: an absolute path, or a name after `@`.
    UnixSocket: "unix-socket", "Unix socket", Machine;
    /// A POSIX shared-memory object or semaphore, by name.
    SharedMemory: "shared-memory", "shared memory", Machine;
    /// A TCP port of this machine.
    Port: "port", "port", Machine;
    /// A UDP port of this machine.
    UdpPort: "udp-port", "UDP port", Machine;
    /// An environment variable, by name; its value is never recorded.
    Env: "env", "env", Process;
    /// The working directory of the process.
    Cwd: "cwd", "cwd", Process;
    /// The file mode mask of the process.
    Umask: "umask", "umask", Process;
    /// The locale of the process, which `setlocale` changes.
    Locale: "locale", "locale", Process;
    /// The process's reaction to a signal, by the signal's name: `SIGUSR1`.
    Signal: "signal", "signal", Process;
    /// The programs that tests of the process write and execute: no process may start while one is open for writing.
    Executable: "executable", "executable files", Process;
    /// The child processes of the process: a wait for any child takes one that another test waits for.
    Children: "children", "child processes", Process;
    /// The file descriptors of the process: a test that closes one twice may close another test's file.
    Descriptors: "descriptors", "file descriptors", Process;
    /// A static variable of a program, by its path.
    Static: "static", "static", Process;
    /// Anything else that has a name: a database server, a queue, a bucket.
    Name: "name", "name", Everywhere;
}

/// The scope of a resource. Two uses can conflict only within one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Each process has its own.
    Process,
    /// All processes of a machine share it.
    Machine,
    /// Runs on different machines may share it.
    Everywhere,
}

/// The directory in which libc keeps shared memory and semaphores.
const SHARED_MEMORY: &str = "/dev/shm";

impl Resource {
    /// A resource of any kind, by the name that reports show; a path has to be absolute.
    pub fn new(kind: ResourceKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// A file or directory. A relative path is completed with the current working directory.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::new(ResourceKind::File, path.to_string_lossy())
    }

    /// A TCP port of this machine, or one of any protocol.
    pub fn port(port: u16) -> Self {
        Self::new(ResourceKind::Port, port.to_string())
    }

    /// A UDP port of this machine, which differs from the TCP port of that number.
    pub fn udp_port(port: u16) -> Self {
        Self::new(ResourceKind::UdpPort, port.to_string())
    }

    /// An environment variable. Its name is recorded, never its value.
    pub fn env(variable: impl Into<String>) -> Self {
        Self::new(ResourceKind::Env, variable)
    }

    /// The working directory, of which a process has one for all its threads.
    pub fn cwd() -> Self {
        Self::new(ResourceKind::Cwd, "")
    }

    /// The mask for the modes of new files, of which a process has one for all its threads.
    pub fn umask() -> Self {
        Self::new(ResourceKind::Umask, "")
    }

    /// The locale, of which a process has one for all its threads.
    pub fn locale() -> Self {
        Self::new(ResourceKind::Locale, "")
    }

    /// Anything else that tests can share: a database, a queue, a bucket. Only the name is compared.
    pub fn name(name: impl Into<String>) -> Self {
        Self::new(ResourceKind::Name, name)
    }

    /// Returns its kind.
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// Returns its name among those of its kind; empty where a process has only one.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns the path of its file, if it is one. A file outlives the process that created it.
    pub fn path(&self) -> Option<PathBuf> {
        match self.kind {
            ResourceKind::File
            | ResourceKind::Directory
            | ResourceKind::GitRepository
            | ResourceKind::Database
            | ResourceKind::TempName => Some(PathBuf::from(&self.name)),
            // A name after `@` is in no file system.
            ResourceKind::UnixSocket => (!self.name.starts_with('@')).then(|| PathBuf::from(&self.name)),
            ResourceKind::SharedMemory => Some(PathBuf::from(format!("{SHARED_MEMORY}{}", self.name))),
            ResourceKind::Port
            | ResourceKind::UdpPort
            | ResourceKind::Env
            | ResourceKind::Cwd
            | ResourceKind::Umask
            | ResourceKind::Locale
            | ResourceKind::Signal
            | ResourceKind::Executable
            | ResourceKind::Children
            | ResourceKind::Descriptors
            | ResourceKind::Static
            | ResourceKind::Name => None,
        }
    }

    /// Returns the resource as journals and snapshots hold it: `KIND:NAME`.
    pub(crate) fn to_text(&self) -> String {
        format!("{}:{}", self.kind.key(), self.name)
    }

    /// Returns the resource that journals and snapshots hold as this text.
    pub fn from_text(text: &str) -> Option<Self> {
        let (key, name) = text.split_once(':')?;
        Some(Self::new(ResourceKind::from_key(key)?, name))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.label())?;
        if self.name.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.name)
    }
}

/// A way to use a resource, the weakest first. Two tests conflict on it only if one of them writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// The names in its directory are listed.
    List,
    /// It is only read.
    Read,
    /// It is created, changed or removed, or held exclusively.
    Write,
}

impl Access {
    /// Every way, the weakest first.
    pub const ALL: &'static [Self] = &[Self::List, Self::Read, Self::Write];

    /// Returns the way with this [word](Self::as_str).
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|access| access.as_str() == word)
    }

    /// Returns the word for it in journals, JSON and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
