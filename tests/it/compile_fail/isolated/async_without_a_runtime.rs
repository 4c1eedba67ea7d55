#[cofferdam::isolated]
async fn waits() {}

fn main() {}
