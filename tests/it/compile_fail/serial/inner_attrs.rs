#[cofferdam::serial(db, inner_attrs = [ntest::timeout(1000)])]
fn attributes_stand_below() {}

fn main() {}
