//! What the tests of an unmodified suite did, and what that means.
//!
//! `launch` has a command's test processes observed, in folders of its `own`, `runner` is what stands in front of
//! each; `account` knows what was started and reads what became of it, `log` what the observer wrote, `who` finds the test of each record, `paths` what a path stands for,
//! `meaning` what was used and how, `ports` which ports meet, `backtraces` what std did on its own account, `folders` which of them
//! went with their folder, `guards` which locks were held, and `places` the lines in the source. `causes` merges conflicts of
//! one cause. All but the first three and `places` are data in, data out. `found` makes findings of conflicts, `confirm` runs
//! their tests once more and grades them, which `crate::findings` keeps.

mod account;
mod alone;
mod backtraces;
mod causes;
mod chain;
pub(crate) mod confirm;
mod folders;
#[path = "../../observer/format.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod format;
pub(crate) mod found;
mod given;
mod group;
mod guards;
pub(crate) mod launch;
#[path = "../../observer/account.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod layout;
mod listed;
mod log;
mod meaning;
mod notes;
mod own;
mod paths;
mod places;
mod ports;
mod reading;
pub(crate) mod runner;
mod session;
mod settled;
mod uses;
mod who;

pub(crate) use session::Session;
