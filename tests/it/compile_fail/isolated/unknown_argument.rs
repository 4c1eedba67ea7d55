#[cofferdam::isolated(directory = "/tmp")]
#[test]
fn unknown() {}

#[cofferdam::isolated(limits(files = 7))]
#[test]
fn unknown_limit() {}

#[cofferdam::isolated(env(RUST_LOG))]
#[test]
fn variable_without_a_value() {}

#[cofferdam::isolated(env_remove(RUST_LOG = "debug"))]
#[test]
fn removed_with_a_value() {}

#[cofferdam::isolated(timeout = "soon")]
#[test]
fn no_time() {}

#[cofferdam::isolated(timeout = 0)]
#[test]
fn none_of_it() {}

fn main() {}
