// rstest is not needed to be refused.
use std::prelude::v1::test as rstest;

#[cofferdam::serial]
#[rstest]
fn fixtures_would_be_made_before_the_lock_is_had() {}

fn main() {}
