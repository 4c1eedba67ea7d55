#[cofferdam::isolated]
fn takes(_: u32) {}

fn main() {}
