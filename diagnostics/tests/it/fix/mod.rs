//! `fix`.

#[cfg(target_os = "linux")]
mod helped;
#[cfg(target_os = "linux")]
mod mended;
mod scratch;

use scratch::Scratch;

const OURS: &str = "cofferdam = { path = \"library\" }\n";

fn report() -> Scratch {
    let users = [
        ("corner_shop", "tests::writes_the_report", "write"),
        ("corner_shop", "tests::sells", "read"),
    ];
    Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users)
}

#[test]
fn what_ends_a_conflict_is_shown_as_a_diff_that_git_can_apply() {
    let scratch = report();
    let told = scratch.fix(&[]);
    assert_eq!(
        told.out,
        "\
key: #[serial(report_csv)] on 1 test, #[parallel(report_csv)] on 1 test: file report.csv

--- a/Cargo.toml
+++ b/Cargo.toml
@@ -7,4 +7,4 @@
 edition = \"2024\"
 
 [dev-dependencies]
-cofferdam = { path = \"library\" }
+cofferdam = { path = \"library\", features = [\"serial\"] }

--- a/src/lib.rs
+++ b/src/lib.rs
@@ -8,11 +8,14 @@
 #[cfg(test)]
 mod tests {
     use super::*;
+    use cofferdam::{parallel, serial};
 
     /// Odd as it is written, it stays so.
     #[test]
+    #[parallel(report_csv)]
     fn sells()   { assert_eq!(items( ), 3) }
 
     #[test]
+    #[serial(report_csv)]
     fn writes_the_report() {}
 }

better: file report.csv: let each have its own (src/lib.rs:5)
guards nothing that was seen: #[serial(db)] (tests/shop.rs:4)
guards nothing that was seen: #[serial(db)] (tests/shop.rs:8)
guards nothing that was seen: #[serial(alone)] (tests/shop.rs:15)
does nothing under nextest: #[serial(db)] (tests/shop.rs:4)
does nothing under nextest: #[serial(db)] (tests/shop.rs:8)
does nothing under nextest: #[serial(alone)] (tests/shop.rs:15)
cofferdam: 2 tests get an attribute, in 2 files, against 1 conflict that was seen in 6 tests; --apply writes it
"
    );
    assert_eq!((told.code, told.err.as_str()), (Some(1), ""));
}

#[test]
fn a_checkout_is_changed_when_nothing_else_in_it_is() {
    let scratch = report();
    let no_git = scratch.fix(&["--apply"]);
    assert!(
        no_git.err.contains("this is not a Git checkout") && no_git.err.contains("--allow-no-vcs"),
        "{}",
        no_git.err
    );
    assert_eq!(no_git.code, Some(3));
    scratch.commit();
    scratch.write("notes.txt", "mine");
    let dirty = scratch.fix(&["--apply"]);
    assert!(
        dirty.err.contains("notes.txt") && dirty.err.contains("--allow-dirty"),
        "{}",
        dirty.err
    );
    assert_eq!(dirty.code, Some(3));
    assert!(!scratch.read("src/lib.rs").contains("serial"));
    let written = scratch.fix(&["--apply", "--allow-dirty"]);
    assert!(
        written.out.ends_with("; written; observe it once more\n"),
        "{}{}",
        written.out,
        written.err
    );
    assert_eq!(written.code, Some(0));
    assert!(
        scratch
            .read("src/lib.rs")
            .contains("    #[serial(report_csv)]\n    fn writes_the_report() {}")
    );
    assert!(scratch.read("Cargo.toml").contains("features = [\"serial\"]"));
    // What was found is older than the attributes, and they are there.
    let again = scratch.fix(&[]);
    assert!(again.out.contains("kept apart: file report.csv"), "{}", again.out);
    assert_eq!(again.code, Some(0));
}

#[test]
fn a_suite_with_serial_test_keeps_its_spelling_for_threads_and_a_key_that_most_have() {
    let users = [
        ("shop", "opens", "write"),
        ("shop", "closes", "write"),
        ("shop", "counts", "read"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "SHOP_DB", "cargo-test", &users);
    let told = scratch.fix(&[]);
    let key =
        "key: #[serial(db)] on 2 tests, #[parallel(db)] on 1 test, as some of them have it: env SHOP_DB\n";
    assert!(told.out.contains(key), "{}", told.out);
    let named = "@@ -1,3 +1,4 @@\n+use serial_test::parallel;\n use serial_test::serial;\n";
    assert!(told.out.contains(named), "{}", told.out);
    assert!(
        told.out.contains(" #[test]\n+#[parallel(db)]\n fn counts() {}\n"),
        "{}",
        told.out
    );
    // They keep somebody apart now; the other does not.
    assert!(
        !told.out.contains("guards nothing that was seen: #[serial(db)]"),
        "{}",
        told.out
    );
    assert!(
        told.out
            .contains("guards nothing that was seen: #[serial(alone)] (tests/shop.rs:15)"),
        "{}",
        told.out
    );
}

#[test]
fn between_processes_serial_test_s_attributes_count_for_nothing_and_a_test_group_is_written() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop::shop", "closes", "write"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("file", "db", "nextest", &users);
    let told = scratch.fix(&[]);
    assert!(
        told.out.contains("test group: db of 2 tests: file db\n"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(
        told.out.ends_with("cofferdam: 1 test group for nextest, against 1 conflict that was seen in 6 tests; --apply writes it\n"),
        "{}",
        told.out
    );
    let own = scratch.fix(&["--with", "serial-test"]);
    assert!(
        own.err.contains("nextest gave each test a process"),
        "{}",
        own.err
    );
    let ours = scratch.fix(&["--with", "cofferdam"]);
    assert!(
        ours.out
            .contains(" #[serial(db)]\n+#[cofferdam::serial(db)]\n fn opens() {}\n"),
        "{}",
        ours.out
    );
    let needed = "needed: Cargo.toml does not have cofferdam, where the attributes come from: `cargo add --dev cofferdam";
    assert!(ours.out.contains(needed), "{}", ours.out);
    scratch.commit();
    let refused = scratch.fix(&["--with", "cofferdam", "--apply"]);
    assert!(
        refused
            .err
            .contains("nothing was written: Cargo.toml does not have cofferdam"),
        "{}",
        refused.err
    );
    assert_eq!(refused.code, Some(3));
    let there = scratch.path().join("library");
    let told = scratch.fix(&["--cofferdam", there.to_str().unwrap()]);
    assert!(
        told.out
            .contains("+cofferdam = { path = \"library\", features = [\"serial\"] }\n"),
        "{}",
        told.out
    );
}

#[test]
fn a_suite_without_either_crate_is_given_no_attribute_of_one() {
    let users = [
        ("corner_shop", "tests::writes_the_report", "write"),
        ("corner_shop", "tests::sells", "read"),
    ];
    let scratch = Scratch::new("").found("file", "report.csv", "cargo-test", &users);
    let told = scratch.fix(&[]);
    let needed = "needed: Cargo.toml has neither serial_test nor cofferdam, whose attributes keep tests apart: `cargo add --dev serial_test`";
    assert!(told.out.contains(needed), "{}{}", told.out, told.err);
    assert!(!told.out.contains("+#["), "{}", told.out);
    assert!(told.out.ends_with("; a crate is needed first\n"), "{}", told.out);
    assert_eq!(told.code, Some(1));
    let lacking = scratch.fix(&["--with", "serial-test"]);
    let needed = "needed: Cargo.toml does not have serial_test, where the attributes come from: `cargo add --dev serial_test`\n";
    assert!(lacking.out.contains(needed), "{}{}", lacking.out, lacking.err);
}

#[test]
fn of_two_crates_the_one_whose_attributes_the_suite_can_use_is_taken() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "write")];
    let both = |cofferdam: &str| {
        let scratch = Scratch::new(&format!("serial_test = \"4\"\n{cofferdam}")).found(
            "env",
            "DB",
            "cargo-test",
            &users,
        );
        let told = scratch.fix(&[]);
        assert!(!told.out.contains("needed: "), "{}{}", told.out, told.err);
        told.out
    };
    let serial_test = both("cofferdam = { path = \"library\" }\n");
    assert!(
        serial_test.contains("+#[serial(db)]\n fn counts()"),
        "{serial_test}"
    );
    let ours = both("cofferdam = { path = \"library\", features = [\"serial\"] }\n");
    assert!(ours.contains("+#[cofferdam::serial(db)]\n fn counts()"), "{ours}");
}

#[test]
fn a_key_without_a_name_is_shown_as_attributes_without_one_are_written() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "read")];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "DB", "cargo-test", &users);
    scratch.write(
        "tests/shop.rs",
        "use serial_test::serial;\n#[test]\n#[serial]\nfn opens() {}\n#[test]\nfn counts() {}\n",
    );
    let told = scratch.fix(&[]);
    let key = "key: #[serial] on 1 test, #[parallel] on 1 test, as some of them have it: env DB\n";
    assert!(told.out.contains(key), "{}{}", told.out, told.err);
    assert!(told.out.contains("+#[parallel]\n fn counts()"), "{}", told.out);
}

#[test]
fn a_test_of_a_harness_of_its_program_s_own_gets_a_test_group_or_a_lock() {
    let users = [
        ("corner-shop::cases", "quiet", "write"),
        ("corner-shop::cases", "panics", "write"),
    ];
    let scratch = |dependencies: &str| {
        let scratch = Scratch::new(dependencies).found("file", "case.out", "nextest", &users);
        scratch.write("tests/cases.rs", "fn main() {}\n");
        let manifest = scratch.read("Cargo.toml");
        let target = "\n[[test]]\nname = \"cases\"\nharness = false\n";
        scratch.write("Cargo.toml", &format!("{manifest}{target}"));
        scratch
    };
    let told = scratch("").fix(&[]);
    assert!(
        told.out
            .contains("test group: case_out of 2 tests: file case.out\n"),
        "{}{}",
        told.out,
        told.err
    );
    let ours = scratch(OURS).fix(&["--with", "cofferdam"]);
    let by_hand = "by hand: cofferdam::lock(\"case_out\") on quiet in corner-shop::cases: its program has a harness of its own (harness = false)";
    assert!(ours.out.contains(by_hand), "{}{}", ours.out, ours.err);
}

#[test]
fn a_doctest_gets_a_lock_where_the_suite_has_one_and_a_resource_of_its_own_elsewhere() {
    let users = [
        ("rust_out", "src/lib.rs - save (line 3)", "write"),
        ("rust_out", "src/lib.rs - load (line 14)", "read"),
    ];
    let told = |dependencies: &str| {
        let told = Scratch::new(dependencies)
            .found("file", "trees", "cargo-test", &users)
            .fix(&[]);
        assert_eq!(told.code, Some(1), "{}{}", told.out, told.err);
        told.out
    };
    let ours = told(OURS);
    let save = "by hand: cofferdam::lock(\"trees\") on src/lib.rs - save (line 3) in rust_out: a doctest takes no attribute\n";
    let load = "by hand: cofferdam::lock_shared(\"trees\") on src/lib.rs - load (line 14) in rust_out: a doctest takes no attribute\n";
    assert!(ours.contains(save) && ours.contains(load), "{ours}");
    let own = "by hand: its own file for src/lib.rs - save (line 3) in rust_out: a doctest takes no attribute; where they have to \
               share it, begin each with `let lock = std::fs::File::create";
    let std = told("");
    assert!(std.contains(own), "{std}");
}

/// A crate whose attributes are those of the real one, and whose `serial` compiles only if it is in order.
fn with_attributes(text: &str) -> Scratch {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users);
    scratch.write(
        "library/Cargo.toml",
        "[package]\nname = \"cofferdam\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\nserial = []\n\n[lib]\nproc-macro = true\n",
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
fn what_does_not_compile_is_taken_back_with_the_lock_file() {
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n#[derive(Debug)]\nstruct serial;\n";
    let scratch = with_attributes(&format!("{text}use serial as _;\n"));
    // The attribute is written as `#[serial(…)]` where a struct has that name only.
    scratch.write("library/src/lib.rs", "");
    let manifest = scratch.read("Cargo.toml");
    let told = scratch.checked(&["--apply", "--allow-dirty"]);
    assert!(
        told.err
            .contains("the changes were reverted: `cargo check --tests` in "),
        "{}{}",
        told.out,
        told.err
    );
    assert!(!told.err.contains("fails without them"), "{}", told.err);
    assert_eq!(told.code, Some(3));
    assert_eq!(scratch.read("Cargo.toml"), manifest);
    assert!(scratch.read("tests/shop.rs").starts_with(text));
    assert!(!scratch.path().join("Cargo.lock").exists());
}

#[test]
fn what_compiles_stays_and_a_suite_that_never_did_is_said_to() {
    let text = "#[test]\nfn opens() {}\n#[test]\nfn closes() {}\n";
    let scratch = with_attributes(text);
    let told = scratch.checked(&["--apply"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(
        scratch
            .read("tests/shop.rs")
            .contains("#[serial(report_csv)]\nfn opens()")
    );
    let broken = with_attributes(&format!("{text}fn odd() -> u32 {{ \"\" }}\n"));
    let told = broken.checked(&["--apply"]);
    assert!(
        told.err
            .contains("It also fails without them: --no-check skips the check"),
        "{}{}",
        told.out,
        told.err
    );
    assert_eq!(
        (told.code, broken.read("tests/shop.rs").contains("serial")),
        (Some(3), false)
    );
}

#[test]
fn a_test_group_for_tests_that_ran_under_cargo_test_is_said_to_have_no_effect_there() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    for (runner, is_said) in [("cargo-test", true), ("nextest", false)] {
        let scratch = Scratch::new(OURS).found("file", "report.csv", runner, &users);
        scratch.commit();
        let told = scratch.fix(&["--with", "test-group"]);
        let said = told.out.contains(
            "no effect: under `cargo test`, where tests met on file report.csv: only nextest reads test groups; --with \
             attributes acts there\n",
        );
        assert_eq!(said, is_said, "{runner}: {}{}", told.out, told.err);
        assert!(told.out.starts_with("test group: "), "{}", told.out);
    }
}

#[test]
fn a_test_that_only_connects_to_a_port_gets_parallel_as_the_help_says() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "read")];
    let scratch = Scratch::new(OURS).found("port", "8080", "cargo-test", &users);
    let told = scratch.fix(&[]);
    let key = "key: #[serial(port_8080)] on 1 test, #[parallel(port_8080)] on 1 test: port 8080\n";
    assert!(told.out.starts_with(key), "{}{}", told.out, told.err);
}

#[test]
fn the_first_line_is_never_empty() {
    let none = Scratch::new(OURS);
    let leak = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let by_hand = Scratch::new(OURS).found("file", "report.csv", "cargo-test", &leak);
    for (scratch, options) in [
        (&none, &[][..]),
        (&none, &["--with", "test-group"]),
        (&by_hand, &[]),
        (&by_hand, &["--with", "test-group"]),
    ] {
        let told = scratch.fix(options);
        assert!(!told.out.starts_with('\n'), "{}{}", told.out, told.err);
    }
}

#[test]
fn a_test_group_of_nextest_s_is_written_into_its_settings() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop", "tests::sells", "read"),
    ];
    let own = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS)
        .found("file", "report.csv", "nextest", &users)
        .found("env", "SHOP_DB", "cargo-test", &own);
    scratch.commit();
    let told = scratch.fix(&["--with", "test-group", "--apply"]);
    assert!(
        told.out
            .contains("test group: report_csv of 2 tests: file report.csv"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(
        told.out
            .contains("no group: env SHOP_DB: under nextest each test has its own"),
        "{}",
        told.out
    );
    assert_eq!(
        scratch.read(".config/nextest.toml"),
        "[test-groups]\nreport_csv = { max-threads = 1 }\n\n[[profile.default.overrides]]\nfilter = '''\n\
         (binary_id(=corner-shop) & (\n    test(=tests::sells)\n)) | (binary_id(=corner-shop::shop) & (\n    \
         test(=opens)\n))\n'''\ntest-group = \"report_csv\"\n"
    );
    assert_eq!(told.code, Some(0));
}

#[test]
fn a_test_that_may_have_a_test_group_is_given_none() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop", "tests::sells", "read"),
    ];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "nextest", &users);
    let settings = "[test-groups]\ndb = { max-threads = 1 }\n\n[[profile.ci.overrides]]\nfilter = 'test(opens)'\ntest-group = 'db'\n";
    scratch.write(".config/nextest.toml", settings);
    let told = scratch.fix(&["--with", "test-group"]);
    let by_hand = "by hand: test-group = \"report_csv\" on opens in corner-shop::shop: an override that is there may give a test group";
    assert!(told.out.contains(by_hand), "{}{}", told.out, told.err);
    assert!(
        told.out.ends_with("; all of it is to be done by hand\n"),
        "{}",
        told.out
    );
    assert_eq!(told.code, Some(1));
}

#[test]
fn settings_of_nextest_s_that_cannot_be_read_are_not_written_anew() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "nextest", &users);
    std::fs::create_dir_all(scratch.path().join(".config/nextest.toml")).unwrap();
    let told = scratch.fix(&["--with", "test-group"]);
    assert!(
        told.err.contains("could not read") && told.err.contains("nextest.toml"),
        "{}",
        told.err
    );
    assert_eq!(told.code, Some(3));
}

#[test]
fn what_is_kept_apart_or_left_behind_is_no_change() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS)
        .guarded("env", "SHOP_DB", &users)
        .leaked("left.csv", &users);
    let told = scratch.fix(&[]);
    assert!(
        told.out
            .contains("left behind: file left.csv: let each have its own (src/lib.rs:5)"),
        "{}",
        told.out
    );
    assert!(
        told.out
            .ends_with("cofferdam: nothing to fix: no conflict was seen in 6 tests\n"),
        "{}",
        told.out
    );
    assert_eq!(told.code, Some(0));
}

#[test]
fn a_test_of_two_programs_that_follow_one_another_guards_nothing_by_itself() {
    let users = [
        ("shop", "common::meets", "write"),
        ("stall", "common::meets", "write"),
    ];
    let mut scratch = Scratch::new("serial_test = \"4\"\n").leaked("left.csv", &users);
    for program in ["shop", "stall"] {
        scratch.write(&format!("tests/{program}.rs"), "mod common;\n");
        scratch.ran(program, &["common::meets"]);
    }
    scratch.write(
        "tests/common/mod.rs",
        "#[test]\n#[serial_test::serial(db)]\nfn meets() {}\n",
    );
    let told = scratch.fix(&[]);
    let idle = "guards nothing that was seen: #[serial_test::serial(db)] (tests/common/mod.rs:2)\n";
    assert!(told.out.contains(idle), "{}{}", told.out, told.err);
}

#[test]
fn a_test_that_is_not_in_the_source_is_for_a_person() {
    let users = [
        ("corner_shop", "tests::made_by_a_macro", "write"),
        ("corner_shop", "tests::sells", "write"),
    ];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users);
    scratch.commit();
    let told = scratch.fix(&["--apply"]);
    let by_hand = "by hand: #[serial(report_csv)] on tests::made_by_a_macro in corner_shop: it is not in the source: a macro may have made it";
    assert!(told.out.contains(by_hand), "{}", told.out);
    assert!(
        told.out
            .ends_with("; written; what is to be done by hand is left\n"),
        "{}",
        told.out
    );
    assert_eq!(told.code, Some(1));
}

#[test]
fn a_test_that_serial_test_keeps_apart_by_several_attributes_is_for_a_person() {
    let users = [
        ("shop", "t::opens", "write"),
        ("shop", "closes", "write"),
        ("shop", "counts", "read"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "SHOP_DB", "cargo-test", &users);
    let text = "use serial_test::*;\n\n#[serial(db)]\nmod t {\n    #[test]\n    fn opens() {}\n}\n\n#[test]\n#[serial(alone)]\nfn closes() {}\n\n#[test]\n#[parallel]\nfn counts() {}\n";
    scratch.write("tests/shop.rs", text);
    scratch.commit();
    let told = scratch.fix(&["--with", "serial-test", "--apply"]);
    let by_hand = "by hand: #[serial(shop_db)] on t::opens in shop: it takes keys by several attributes or by its module's";
    assert!(told.out.contains(by_hand), "{}{}", told.out, told.err);
    assert_eq!(
        scratch.read("tests/shop.rs"),
        text.replace("(alone)", "(alone, shop_db)")
            .replace("#[parallel]", "#[parallel]\n#[parallel(shop_db)]")
    );
    assert_eq!(told.code, Some(1));
}

#[test]
fn a_test_whose_keys_hang_on_a_condition_is_for_a_person() {
    let users = [
        ("shop", "t::opens", "write"),
        ("shop", "closes", "write"),
        ("shop", "counts", "read"),
    ];
    let scratch = Scratch::new(OURS).found("env", "SHOP_DB", "cargo-test", &users);
    scratch.write(
        "tests/shop.rs",
        "#[cfg_attr(unix, cofferdam::serial)] mod t {\n    #[test] fn opens() {}\n}\n\
         #[test]\n#[cfg_attr(unix, serial(db))]\nfn closes() {}\n#[test]\n#[cfg_attr(serial, ignore)]\nfn counts() {}\n",
    );
    let told = scratch.fix(&[]);
    for test in ["t::opens", "closes"] {
        let by_hand = format!(
            "by hand: #[serial(shop_db)] on {test} in shop: what it takes already stands in a #[cfg_attr]\n"
        );
        assert!(told.out.contains(&by_hand), "{}{}", told.out, told.err);
    }
    let changed = " #[cfg_attr(serial, ignore)]\n+#[parallel(shop_db)]\n fn counts() {}\n";
    assert!(told.out.contains(changed), "{}", told.out);
}

#[test]
fn the_example_of_its_page_has_the_fields_that_the_report_has() {
    let page = include_str!("../../../../docs/fix.md");
    let example = page.split("```json\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let example: serde_json::Value = serde_json::from_str(example).unwrap();
    let users = [("shop", "made_by_a_macro", "write"), ("shop", "counts", "write")];
    let scratch = Scratch::new("").found("file", "report.csv", "nextest", &users);
    let told = scratch.fix(&["--with", "cofferdam", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for path in [
        "",
        "/keys/0",
        "/changes/0",
        "/advice/0",
        "/by_hand/0",
        "/guarding_nothing/0",
    ] {
        let (told, shown) = (report.pointer(path).unwrap(), example.pointer(path).unwrap());
        assert_eq!(fields(told), fields(shown), "{path}");
    }
    assert_eq!(report["missing_library"], example["missing_library"]);
}

#[test]
fn findings_of_another_machine_are_mended_here() {
    let scratch = report();
    scratch.fix(&[]);
    let here = scratch.path().display().to_string();
    let text = scratch
        .read("observed/last.json")
        .replace(&here, "/ci/build/shop");
    scratch.write("observed/ci.json", &text);
    let dir = scratch.path();
    let told = crate::recording::told(&dir, &["fix", "--format", "json", "observed/ci.json"]);
    let told: serde_json::Value =
        serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {}", told.err));
    assert_eq!(told["changes"][1]["file"], "src/lib.rs");
    assert_eq!((&told["functions"], &told["written"]), (&2.into(), &false.into()));
}

#[test]
fn without_findings_it_says_what_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let told = crate::recording::told(dir.path(), &["fix"]);
    assert!(
        told.err
            .contains("nothing was observed yet; `cargo cofferdam observe -- cargo test` writes it"),
        "{}",
        told.err
    );
    assert_eq!(told.code, Some(3));
}
