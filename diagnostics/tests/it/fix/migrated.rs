//! `fix --migrate`: a suite of another crate becomes one of cofferdam.

use super::scratch::{OURS, Scratch};

/// Returns a suite of serial_test with a stand-in for cofferdam, whose attributes compile.
fn suite() -> Scratch {
    let scratch = Scratch::new(&format!("serial_test = \"4\" # for threads\n{OURS}"));
    scratch.write(
        "library/Cargo.toml",
        "[package]\nname = \"cofferdam\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\nmacros = []\n\n[lib]\nproc-macro = true\n",
    );
    scratch.write("library/src/lib.rs", LIBRARY);
    scratch.commit();
    scratch
}

const LIBRARY: &str = "\
use proc_macro::TokenStream;
#[proc_macro_attribute]
pub fn serial(_: TokenStream, item: TokenStream) -> TokenStream { item }
#[proc_macro_attribute]
pub fn isolated(_: TokenStream, item: TokenStream) -> TokenStream { item }
";

#[test]
fn a_migration_is_shown_as_a_diff_with_what_is_left() {
    let scratch = suite();
    scratch.write(
        "tests/more.rs",
        "#[test]\n#[serial_test::file_serial(db, path => \"/x\")]\nfn a() {}\n",
    );
    let output = scratch.fix(&["--migrate", "serial_test"]);
    let changed = "\
--- a/Cargo.toml
+++ b/Cargo.toml
@@ -8,4 +8,4 @@
 
 [dev-dependencies]
 serial_test = \"4\" # for threads
-cofferdam = { path = \"library\" }
+cofferdam = { path = \"library\", features = [\"macros\"] }

--- a/tests/shop.rs
+++ b/tests/shop.rs
@@ -1,4 +1,4 @@
-use serial_test::serial;
+use cofferdam::serial;
 
 #[test]
 #[serial(db)]

left: #[serial_test::file_serial(db, path => \"/x\")] (tests/more.rs:2): it has a path: cofferdam::lock::LockOptions::machine excludes \
all processes of the machine
cofferdam: 3 uses of serial_test migrated, in 2 files, 1 place left; --apply writes it
";
    assert_eq!(output.out, changed);
    assert_eq!((output.code, output.err.as_str()), (Some(1), ""));
    let json = scratch.fix(&["--migrate", "serial_test", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["rewritten"], 3);
    assert_eq!(json["left"][0]["file"], "tests/more.rs");
}

#[test]
fn a_migration_is_written_if_it_compiles_and_the_checkout_is_clean() {
    let scratch = suite();
    scratch.write("notes.txt", "mine");
    let dirty = scratch.checked(&["--migrate", "serial_test", "--apply"]);
    assert!(
        dirty.err.contains("notes.txt") && dirty.code == Some(3),
        "{}",
        dirty.err
    );
    let written = scratch.checked(&["--migrate", "serial_test", "--apply", "--allow-dirty"]);
    let last = "cofferdam: 3 uses of serial_test migrated, in 2 files; written\n";
    assert!(written.out.ends_with(last), "{}{}", written.out, written.err);
    assert_eq!(written.code, Some(0));
    let manifest = scratch.read("Cargo.toml");
    assert!(
        !manifest.contains("serial_test") && manifest.contains("features = [\"macros\"]"),
        "{manifest}"
    );
    assert!(
        scratch
            .read("tests/shop.rs")
            .starts_with("use cofferdam::serial;\n")
    );
    let again = scratch.checked(&["--migrate", "serial_test"]);
    assert_eq!(
        (again.out.as_str(), again.code),
        ("cofferdam: nothing to migrate from serial_test\n", Some(0))
    );
}

#[test]
fn a_migration_that_does_not_compile_is_reverted() {
    let scratch = suite();
    scratch.write("library/src/lib.rs", "");
    let before = (scratch.read("Cargo.toml"), scratch.read("tests/shop.rs"));
    let output = scratch.checked(&["--migrate", "serial_test", "--apply", "--allow-dirty"]);
    let reason = "the changes were reverted: `cargo check --tests` in ";
    assert!(output.err.contains(reason), "{}{}", output.out, output.err);
    assert_eq!(output.code, Some(3));
    assert_eq!(
        (scratch.read("Cargo.toml"), scratch.read("tests/shop.rs")),
        before
    );
}

#[test]
fn a_package_without_cofferdam_needs_it_first() {
    let scratch = Scratch::new("rusty-fork = \"0.3\"\n");
    scratch.write(
        "tests/more.rs",
        "rusty_fork::rusty_fork_test! {\n    #[test]\n    fn a() {}\n}\n",
    );
    let output = scratch.fix(&["--migrate", "rusty-fork"]);
    assert!(
        output
            .out
            .contains("+#[test]\n+#[cofferdam::isolated]\n+fn a() {}\n"),
        "{}",
        output.out
    );
    assert!(
        output.out.contains("needed: Cargo.toml does not have cofferdam"),
        "{}",
        output.out
    );
    assert!(!output.out.contains("--with"), "{}", output.out);
    let last = "cofferdam: 1 use of rusty-fork migrated, in 2 files; add a crate first\n";
    assert!(output.out.ends_with(last), "{}", output.out);
    let applied = scratch.fix(&["--migrate", "rusty-fork", "--apply", "--allow-no-vcs"]);
    assert!(
        applied
            .err
            .contains("nothing was written: Cargo.toml does not have cofferdam"),
        "{}",
        applied.err
    );
}

#[test]
fn the_dependency_of_a_workspace_goes_with_its_last_package() {
    let scratch = suite();
    let manifest = scratch.read("Cargo.toml");
    let inherited = manifest
        .replace(
            "serial_test = \"4\" # for threads",
            "serial_test.workspace = true",
        )
        .replace(
            "[package]",
            "[workspace.dependencies]\nserial_test = \"4\"\n\n[package]",
        );
    scratch.write("Cargo.toml", &inherited);
    let output = scratch.checked(&["--migrate", "serial_test", "--apply", "--allow-dirty"]);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert!(!scratch.read("Cargo.toml").contains("serial_test"));
}

#[test]
fn each_package_that_shares_a_file_gets_cofferdam() {
    let scratch = suite();
    let manifest = scratch.read("Cargo.toml");
    scratch.write(
        "Cargo.toml",
        &manifest.replace("[workspace]", "[workspace]\nmembers = [\"other\"]"),
    );
    scratch.write(
        "other/Cargo.toml",
        "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dev-dependencies]\nserial_test = \"4\"\n\
         cofferdam = { path = \"../library\" }\n\n[[test]]\nname = \"shop\"\npath = \"../tests/shop.rs\"\n",
    );
    scratch.write("other/src/lib.rs", "");
    let output = scratch.fix(&["--migrate", "serial_test"]);
    let changed = "\
-serial_test = \"4\"
-cofferdam = { path = \"../library\" }
+cofferdam = { path = \"../library\", features = [\"macros\"] }
";
    assert!(output.out.contains(changed), "{}{}", output.out, output.err);
    assert_eq!(output.out.matches("--- a/tests/shop.rs\n").count(), 1);
    // Also the manifest of the other package.
    assert_eq!(output.out.matches("features = [\"macros\"]").count(), 2);
}
