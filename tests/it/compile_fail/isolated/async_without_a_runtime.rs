#[cofferdam::isolated]
#[test]
async fn waits() {}

fn main() {}
