#[cofferdam::isolated(env(PORT = 8080))]
#[test]
fn a_number_is_no_text() {}

fn main() {}
