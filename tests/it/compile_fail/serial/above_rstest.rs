#[cofferdam::serial]
#[rstest]
fn fixtures_would_be_made_before_the_lock_is_had() {}

fn main() {}
