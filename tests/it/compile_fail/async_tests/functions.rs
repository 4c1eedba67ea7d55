// rstest is not needed to be refused.
use std::prelude::v1::test as rstest;

#[cofferdam::test]
#[tokio::test(flavor = "multi_thread")]
async fn its_runtime_would_end_with_the_test() {}

#[cofferdam::test]
#[test]
fn it_would_be_two_tests() {}

#[cofferdam::test]
#[rstest]
fn fixtures_are_made_outside() {}

#[cofferdam::test]
async fn nothing_calls_it_with(_: u8) {}

#[cofferdam::test]
const NO_FUNCTION: () = ();

fn main() {}
