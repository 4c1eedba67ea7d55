//! What must not compile.

#[test]
fn invalid_uses_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/it/compile_fail/*.rs");
    #[cfg(feature = "macros")]
    cases.compile_fail("tests/it/compile_fail/serial/*.rs");
    #[cfg(feature = "macros")]
    cases.compile_fail("tests/it/compile_fail/isolated/*.rs");
    #[cfg(all(feature = "macros", feature = "tokio"))]
    cases.compile_fail("tests/it/compile_fail/async_tests/*.rs");
}
