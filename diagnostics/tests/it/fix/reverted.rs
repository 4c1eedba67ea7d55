//! Changes that do not compile, or whose check is interrupted, are reverted.

use super::scratch::{OURS, Scratch};

/// Returns a scratch suite with a stand-in for cofferdam, whose `serial` compiles.
fn with_attributes(text: &str) -> Scratch {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users);
    scratch.write(
        "library/Cargo.toml",
        "[package]\nname = \"cofferdam\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\nmacros = []\n\n[lib]\nproc-macro = true\n",
    );
    scratch.write(
        "library/src/lib.rs",
        "use proc_macro::TokenStream;\n#[proc_macro_attribute]\npub fn serial(_: TokenStream, item: TokenStream) -> TokenStream { item }\n",
    );
    scratch.write("tests/shop.rs", text);
    scratch.commit();
    scratch
}

#[test]
fn changes_that_do_not_compile_are_reverted_with_the_lock_file() {
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n#[derive(Debug)]\nstruct serial;\n";
    let scratch = with_attributes(&format!("{text}use serial as _;\n"));
    // The struct is only a type, so the attribute is written as `#[serial(…)]`, and does not compile.
    scratch.write("library/src/lib.rs", "");
    let manifest = scratch.read("Cargo.toml");
    let output = scratch.checked(&["--apply", "--allow-dirty"]);
    assert!(
        output
            .err
            .contains("the changes were reverted: `cargo check --tests` in "),
        "{}{}",
        output.out,
        output.err
    );
    assert!(!output.err.contains("fails without them"), "{}", output.err);
    assert_eq!(output.code, Some(3));
    assert_eq!(scratch.read("Cargo.toml"), manifest);
    assert!(scratch.read("tests/shop.rs").starts_with(text));
    assert!(!scratch.path().join("Cargo.lock").exists());
}

/// Says that the check has begun, and waits for the end of the test.
#[cfg(unix)]
const WAITING_BUILD: &str =
    "fn main() {\n    std::fs::write(\"begun\", \"\").unwrap();\n    std::fs::read(\"end\").unwrap();\n}\n";

#[cfg(unix)]
#[test]
fn changes_are_reverted_if_a_signal_ends_the_check() {
    use std::os::unix::process::CommandExt as _;
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n";
    // Ctrl-C may be ignored where this runs, as in the background of a script.
    for to_group in [true, false] {
        let scratch = with_attributes(text);
        scratch.write("build.rs", WAITING_BUILD);
        let [begun, end] = ["begun", "end"].map(|name| scratch.path().join(name));
        for path in [&begun, &end] {
            crate::recording::make_pipe(path);
        }
        // Opened for both, it does not wait for a reader.
        let _end = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(end)
            .unwrap();
        let manifest = scratch.read("Cargo.toml");
        let mut command = scratch.command(&["--apply", "--allow-dirty"]);
        let child = command
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::fs::read(begun).unwrap();
        assert!(scratch.read("tests/shop.rs").contains("serial"));
        let sign = if to_group { "-" } else { "" };
        #[expect(clippy::disallowed_methods, reason = "a signal as a shell sends it")]
        let killed = std::process::Command::new("kill")
            .args(["-s", "TERM", "--", &format!("{sign}{}", child.id())])
            .status()
            .unwrap();
        assert!(killed.success());
        let output: crate::recording::CommandOutput = child.wait_with_output().unwrap().into();
        assert!(
            output
                .err
                .contains("the changes were reverted: `cargo check --tests` in ")
                && output.err.contains("was ended by signal "),
            "{}{}",
            output.out,
            output.err
        );
        assert_eq!(output.code, Some(3));
        assert_eq!(scratch.read("tests/shop.rs"), text);
        assert_eq!(scratch.read("Cargo.toml"), manifest);
        assert!(!scratch.path().join("Cargo.lock").exists());
    }
}

#[test]
fn changes_that_compile_stay_and_a_suite_that_never_compiled_is_reported() {
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n";
    let scratch = with_attributes(text);
    let output = scratch.checked(&["--apply"]);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert!(
        scratch
            .read("tests/shop.rs")
            .contains("#[serial(report_csv)]\nfn opens()")
    );
    let broken = with_attributes(&format!("{text}fn odd() -> u32 {{ \"\" }}\n"));
    let output = broken.checked(&["--apply"]);
    assert!(
        output
            .err
            .contains("It also fails without them: --no-check skips the check"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(
        (output.code, broken.read("tests/shop.rs").contains("serial")),
        (Some(3), false)
    );
}

#[test]
fn a_change_anywhere_in_the_checkout_keeps_files_from_being_changed() {
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n";
    let scratch = with_attributes(text);
    scratch.write("notes.txt", "mine");
    let output = scratch.fix(&["--apply"]);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(output.err.contains("notes.txt"), "{}", output.err);
    assert_eq!(scratch.read("tests/shop.rs"), text);
}
