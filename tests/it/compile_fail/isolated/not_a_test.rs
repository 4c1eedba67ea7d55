#[cofferdam::isolated]
mod tests {}

fn main() {}
