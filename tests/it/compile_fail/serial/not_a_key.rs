#[cofferdam::serial(two words)]
fn a_key_is_one_word() {}

#[cofferdam::serial(timeout = 3)]
fn there_is_no_such_argument() {}

fn main() {}
