//! A session, as it is asked for and as it stands in the ledger.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// The number of a session in its ledger; never given twice.
pub type SessionId = i64;

/// What a session says of itself when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its name in recordings (`COFFERDAM_RECORD`), unique.
    pub name: String,
    pub namespace: String,
    /// What it is about, in a word: `command`, `batch`, `rounds`.
    pub scope: String,
    /// Others may submit jobs to it.
    pub takes_jobs: bool,
    pub trigger: Trigger,
    /// It may work beside others in its namespace: `COFFERDAM_RUN_LOCK=off`, or it is inside of another's command.
    pub beside: bool,
    /// It goes on with the jobs that the namespace's last session left, if that one's owner died.
    pub resume: bool,
    /// The commit that is checked out, if it is known.
    pub revision: Option<String>,
}

/// Who started a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A person at a terminal.
    User,
    /// A CI system.
    Ci,
    /// Another program.
    Program,
}

/// How far a session is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Admitted, and its jobs are not known yet.
    Pending,
    Running,
    Passed,
    Failed,
    Cancelled,
    /// Its owner died.
    Abandoned,
}

impl Status {
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// The process that a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot; 0 where the system does not say.
    pub started: u64,
    /// The machine's name; empty where the system does not say.
    pub host: String,
}

/// Gives an enum the words that stand for it in the database and in reports.
macro_rules! words {
    ($name:ident { $($variant:ident $word:literal)* }) => {
        impl $name {
            /// Every one of them with its word, as the schema lists them.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                let known = Self::ALL.iter().find(|(_, known)| *known == word);
                known.map(|(found, _)| *found).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}
pub(super) use words;

words!(Trigger { User "user" Ci "ci" Program "program" });
words!(Status {
    Pending "pending" Running "running" Passed "passed" Failed "failed" Cancelled "cancelled" Abandoned "abandoned"
});
