//! A suite without the feature `fixtures`.

use crate::stranger::{Suite, text};

#[test]
fn the_compiler_names_the_feature_that_fixtures_need() {
    let tests = "
        static SERVER: cofferdam::Fixture<u8> = cofferdam::Fixture::per_run(\"server\", |_| Ok(1));
        #[test] fn uses_it() { SERVER.get(); }
    ";
    let files = [("src/lib.rs", ""), ("tests/suite.rs", tests)];
    let checked = Suite::new("without-fixtures", &[], "", &files)
        .cargo("check --tests")
        .output()
        .unwrap();
    let errors = text(&checked);
    assert!(!checked.status.success(), "{errors}");
    assert!(
        errors.contains("the item is gated behind the `fixtures` feature"),
        "{errors}"
    );
}
