#[cofferdam::isolated]
fn takes(number: u32) {}

fn main() {}
