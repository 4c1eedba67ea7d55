#[cofferdam::serial]
struct NotATest;

fn main() {}
