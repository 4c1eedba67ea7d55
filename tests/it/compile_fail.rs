//! What must not compile.

#[test]
fn what_must_not_compile_does_not() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/it/compile_fail/*.rs");
    #[cfg(feature = "serial")]
    cases.compile_fail("tests/it/compile_fail/serial/*.rs");
}
