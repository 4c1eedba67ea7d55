macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test] fn $name() { suite::meet("test") })*
    };
}

mod orders {
    tests!(a b c d e f g h);
}
