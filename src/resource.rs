//! What tests collide on, and how they use it.

use std::fmt;
use std::path::Path;

/// What tests collide on.
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

/// The kind of a [`Resource`]; its word stands first in reports and journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ResourceKind {
    /// A file or folder, by absolute path.
    File,
    /// A TCP or UDP port of this machine.
    Port,
    /// An environment variable, by name; its value is never recorded.
    Env,
    /// The working directory of the process.
    Cwd,
    /// The file mode mask of the process.
    Umask,
    /// Anything else that has a name: a database, a queue, a bucket.
    Name,
}

impl ResourceKind {
    const ALL: [(Self, &'static str); 6] = [
        (Self::File, "file"),
        (Self::Port, "port"),
        (Self::Env, "env"),
        (Self::Cwd, "cwd"),
        (Self::Umask, "umask"),
        (Self::Name, "name"),
    ];

    /// The word for it: `file`, `port`, `env`, `cwd`, `umask` or `name`.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("name", |(_, word)| word)
    }
}

impl Resource {
    /// A file or folder. A relative path is completed with the working directory of this moment.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            kind: ResourceKind::File,
            name: path.to_string_lossy().into_owned(),
        }
    }

    /// A TCP port of this machine, or one of any protocol.
    pub fn port(port: u16) -> Self {
        Self {
            kind: ResourceKind::Port,
            name: port.to_string(),
        }
    }

    /// A UDP port of this machine, which is another than the TCP port of that number.
    pub fn udp_port(port: u16) -> Self {
        Self {
            kind: ResourceKind::Port,
            name: format!("{port}/udp"),
        }
    }

    /// An environment variable. Its name is recorded, never its value.
    pub fn env(variable: impl Into<String>) -> Self {
        Self {
            kind: ResourceKind::Env,
            name: variable.into(),
        }
    }

    /// The working directory, of which a process has one for all its threads.
    pub fn cwd() -> Self {
        Self {
            kind: ResourceKind::Cwd,
            name: String::new(),
        }
    }

    /// The mask for the modes of new files, of which a process has one for all its threads.
    pub fn umask() -> Self {
        Self {
            kind: ResourceKind::Umask,
            name: String::new(),
        }
    }

    /// Anything else that tests can meet on: a database, a queue, a bucket. The name is all that is compared.
    pub fn name(name: impl Into<String>) -> Self {
        Self {
            kind: ResourceKind::Name,
            name: name.into(),
        }
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// What it is called among those of its kind; empty for the working directory and the mask.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.name)
    }

    pub(crate) fn from_json(text: &str) -> Option<Self> {
        let (word, name) = text.split_once(':')?;
        let (kind, _) = ResourceKind::ALL.into_iter().find(|(_, known)| *known == word)?;
        Some(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ResourceKind::Cwd | ResourceKind::Umask => f.write_str(self.kind.as_str()),
            kind => write!(f, "{} {}", kind.as_str(), self.name),
        }
    }
}

/// How a resource is used. Two readers never conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// It is only looked at.
    Read,
    /// It is made, changed or removed, or held so that nobody else can have it.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}
