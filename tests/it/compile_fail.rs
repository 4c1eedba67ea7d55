//! What must not compile.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/it/compile_fail/*.rs");
}
