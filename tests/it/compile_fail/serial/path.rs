#[cofferdam::parallel(db, path => "lock")]
fn a_key_is_enough() {}

fn main() {}
