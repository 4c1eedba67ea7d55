//! Splits the tests of a suite into shards that take equally long.
//!
//! `listed_program` has the tests as a runner lists them, `test_times` how long they took, `balance` divides them, `shard_plan`
//! connects these, and `filterset` addresses the tests of a shard for nextest. Nothing here reads a file or starts a program.

mod balance;
mod filterset;
mod listed_program;
mod shard_plan;
mod test_times;

pub(crate) use listed_program::{ListedProgram, Tests};
pub(crate) use shard_plan::{LongTest, Plan, Selection, Shard};
pub(crate) use test_times::TestTimes;
