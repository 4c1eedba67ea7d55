//! Tests of `fix`.

#[cfg(target_os = "linux")]
mod conflicted_example;
#[cfg(target_os = "linux")]
mod help_texts;
mod migrated;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod proven;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod relaxed;
mod reverted;
mod scratch;

use scratch::{OURS, Scratch};

fn report() -> Scratch {
    let users = [
        ("corner_shop", "tests::writes_the_report", "write"),
        ("corner_shop", "tests::sells", "read"),
    ];
    Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users)
}

#[test]
fn a_proposal_is_shown_as_a_diff_that_git_can_apply() {
    let scratch = report();
    let output = scratch.fix(&[]);
    assert_eq!(
        output.out,
        "\
key: #[serial(report_csv)] on 1 test, #[parallel(report_csv)] on 1 test: file report.csv

--- a/Cargo.toml
+++ b/Cargo.toml
@@ -7,4 +7,4 @@
 edition = \"2024\"
 
 [dev-dependencies]
-cofferdam = { path = \"library\" }
+cofferdam = { path = \"library\", features = [\"macros\"] }

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
unused attribute: #[serial(db)] (tests/shop.rs:4)
unused attribute: #[serial(db)] (tests/shop.rs:8)
unused attribute: #[serial(alone)] (tests/shop.rs:15)
no effect under nextest: #[serial(db)] (tests/shop.rs:4)
no effect under nextest: #[serial(db)] (tests/shop.rs:8)
no effect under nextest: #[serial(alone)] (tests/shop.rs:15)
cofferdam: attributes on 2 tests, in 2 files, for 1 conflict seen in 6 tests; --apply writes it
"
    );
    assert_eq!((output.code, output.err.as_str()), (Some(1), ""));
}

#[test]
fn a_checkout_with_uncommitted_changes_is_not_changed() {
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
        written
            .out
            .ends_with("; written, not proven: --apply -- COMMAND repeats what failed\n"),
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
    assert!(scratch.read("Cargo.toml").contains("features = [\"macros\"]"));
    // The observation is older than the attributes.
    let again = scratch.fix(&[]);
    assert!(again.out.contains("kept apart: file report.csv"), "{}", again.out);
    assert_eq!(again.code, Some(0));
}

#[test]
fn a_suite_with_serial_test_gets_its_attributes_for_threads_with_an_existing_key() {
    let users = [
        ("shop", "opens", "write"),
        ("shop", "closes", "write"),
        ("shop", "counts", "read"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "SHOP_DB", "cargo-test", &users);
    let output = scratch.fix(&[]);
    let key =
        "key: #[serial(db)] on 2 tests, #[parallel(db)] on 1 test, as some of them have it: env SHOP_DB\n";
    assert!(output.out.contains(key), "{}", output.out);
    let named = "@@ -1,3 +1,4 @@\n+use serial_test::parallel;\n use serial_test::serial;\n";
    assert!(output.out.contains(named), "{}", output.out);
    assert!(
        output
            .out
            .contains(" #[test]\n+#[parallel(db)]\n fn counts() {}\n"),
        "{}",
        output.out
    );
    // Attributes that separate tests now are not reported; the other one is.
    assert!(
        !output.out.contains("unused attribute: #[serial(db)]"),
        "{}",
        output.out
    );
    assert!(
        output
            .out
            .contains("unused attribute: #[serial(alone)] (tests/shop.rs:15)"),
        "{}",
        output.out
    );
}

#[test]
fn attributes_of_serial_test_have_no_effect_between_processes_and_a_test_group_is_written() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop::shop", "closes", "write"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("file", "db", "nextest", &users);
    let output = scratch.fix(&[]);
    assert!(
        output.out.contains("test group: db of 2 tests: file db\n"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(
        output.out.ends_with(
            "cofferdam: 1 test group for nextest, for 1 conflict seen in 6 tests; --apply writes it\n"
        ),
        "{}",
        output.out
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
    let needed = "needed: Cargo.toml does not have cofferdam, which provides the attributes: `cargo add --dev cofferdam";
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
    let output = scratch.fix(&["--cofferdam", there.to_str().unwrap()]);
    assert!(
        output
            .out
            .contains("+cofferdam = { path = \"library\", features = [\"macros\"] }\n"),
        "{}",
        output.out
    );
}

#[test]
fn a_suite_without_either_crate_gets_no_attribute() {
    let users = [
        ("corner_shop", "tests::writes_the_report", "write"),
        ("corner_shop", "tests::sells", "read"),
    ];
    let scratch = Scratch::new("").found("file", "report.csv", "cargo-test", &users);
    let output = scratch.fix(&[]);
    let needed = "needed: Cargo.toml has neither serial_test nor cofferdam, whose attributes keep tests apart: `cargo add --dev serial_test`";
    assert!(output.out.contains(needed), "{}{}", output.out, output.err);
    assert!(!output.out.contains("+#["), "{}", output.out);
    assert!(output.out.ends_with("; add a crate first\n"), "{}", output.out);
    assert_eq!(output.code, Some(1));
    let lacking = scratch.fix(&["--with", "serial-test"]);
    let needed = "needed: Cargo.toml does not have serial_test, which provides the attributes: `cargo add --dev serial_test`\n";
    assert!(lacking.out.contains(needed), "{}{}", lacking.out, lacking.err);
}

#[test]
fn a_suite_with_both_crates_gets_the_attributes_that_it_can_use() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "write")];
    let both = |cofferdam: &str| {
        let scratch = Scratch::new(&format!("serial_test = \"4\"\n{cofferdam}")).found(
            "env",
            "DB",
            "cargo-test",
            &users,
        );
        let output = scratch.fix(&[]);
        assert!(!output.out.contains("needed: "), "{}{}", output.out, output.err);
        output.out
    };
    let serial_test = both("cofferdam = { path = \"library\" }\n");
    assert!(
        serial_test.contains("+#[serial(db)]\n fn counts()"),
        "{serial_test}"
    );
    let ours = both("cofferdam = { path = \"library\", features = [\"macros\"] }\n");
    assert!(ours.contains("+#[cofferdam::serial(db)]\n fn counts()"), "{ours}");
}

#[test]
fn the_default_key_is_shown_as_an_attribute_without_arguments() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "read")];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "DB", "cargo-test", &users);
    scratch.write(
        "tests/shop.rs",
        "use serial_test::serial;\n#[test]\n#[serial]\nfn opens() {}\n#[test]\nfn counts() {}\n",
    );
    let output = scratch.fix(&[]);
    let key = "key: #[serial] on 1 test, #[parallel] on 1 test, as some of them have it: env DB\n";
    assert!(output.out.contains(key), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("+#[parallel]\n fn counts()"),
        "{}",
        output.out
    );
}

#[test]
fn a_test_with_a_custom_harness_gets_a_test_group_or_a_lock() {
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
    let output = scratch("").fix(&[]);
    assert!(
        output
            .out
            .contains("test group: case_out of 2 tests: file case.out\n"),
        "{}{}",
        output.out,
        output.err
    );
    let ours = scratch(OURS).fix(&["--with", "cofferdam"]);
    let by_hand = "by hand: cofferdam::lock(\"case_out\") on quiet in corner-shop::cases: its program has a custom harness (harness = false)";
    assert!(ours.out.contains(by_hand), "{}{}", ours.out, ours.err);
}

#[test]
fn a_doctest_gets_a_lock_in_a_suite_with_cofferdam_and_its_own_resource_elsewhere() {
    let users = [
        ("rust_out", "src/lib.rs - save (line 3)", "write"),
        ("rust_out", "src/lib.rs - load (line 14)", "read"),
    ];
    let fixed = |dependencies: &str| {
        let output = Scratch::new(dependencies)
            .found("file", "trees", "cargo-test", &users)
            .fix(&[]);
        assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
        output.out
    };
    let ours = fixed(OURS);
    let save = "by hand: cofferdam::lock(\"trees\") on src/lib.rs - save (line 3) in rust_out: a doctest accepts no attribute\n";
    let load = "by hand: cofferdam::lock::lock_shared(\"trees\") on src/lib.rs - load (line 14) in rust_out: a doctest accepts no attribute\n";
    assert!(ours.contains(save) && ours.contains(load), "{ours}");
    let own = "by hand: its own file for src/lib.rs - save (line 3) in rust_out: a doctest accepts no attribute; where they have to \
               share it, begin each with `let lock = std::fs::File::create";
    let std = fixed("");
    assert!(std.contains(own), "{std}");
}

#[test]
fn a_test_group_for_tests_under_cargo_test_is_reported_as_without_effect() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    for (runner, is_said) in [("cargo-test", true), ("nextest", false)] {
        let scratch = Scratch::new(OURS).found("file", "report.csv", runner, &users);
        scratch.commit();
        let output = scratch.fix(&["--with", "test-group"]);
        let said = output.out.contains(
            "no effect: under `cargo test`, where tests met on file report.csv: only nextest reads test groups; --with \
             attributes acts there\n",
        );
        assert_eq!(said, is_said, "{runner}: {}{}", output.out, output.err);
        assert!(output.out.starts_with("test group: "), "{}", output.out);
    }
}

#[test]
fn a_test_that_only_connects_to_a_port_gets_parallel() {
    let users = [("shop", "opens", "write"), ("shop", "counts", "read")];
    let scratch = Scratch::new(OURS).found("port", "8080", "cargo-test", &users);
    let output = scratch.fix(&[]);
    let key = "key: #[serial(port_8080)] on 1 test, #[parallel(port_8080)] on 1 test: port 8080\n";
    assert!(output.out.starts_with(key), "{}{}", output.out, output.err);
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
        let output = scratch.fix(options);
        assert!(!output.out.starts_with('\n'), "{}{}", output.out, output.err);
    }
}

#[test]
fn a_test_group_is_written_into_nextest_s_configuration() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop", "tests::sells", "read"),
    ];
    let own = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS)
        .found("file", "report.csv", "nextest", &users)
        .found("env", "SHOP_DB", "cargo-test", &own);
    scratch.commit();
    let output = scratch.fix(&["--with", "test-group", "--apply"]);
    assert!(
        output
            .out
            .contains("test group: report_csv of 2 tests: file report.csv"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(
        output
            .out
            .contains("no group: env SHOP_DB: under nextest each test has its own"),
        "{}",
        output.out
    );
    assert_eq!(
        scratch.read(".config/nextest.toml"),
        "[test-groups]\nreport_csv = { max-threads = 1 }\n\n[[profile.default.overrides]]\nfilter = '''\n\
         (binary_id(=corner-shop) & (\n    test(=tests::sells)\n)) | (binary_id(=corner-shop::shop) & (\n    \
         test(=opens)\n))\n'''\ntest-group = \"report_csv\"\n"
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn a_test_that_may_have_a_test_group_gets_no_second_one() {
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop", "tests::sells", "read"),
    ];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "nextest", &users);
    let settings = "[test-groups]\ndb = { max-threads = 1 }\n\n[[profile.ci.overrides]]\nfilter = 'test(opens)'\ntest-group = 'db'\n";
    scratch.write(".config/nextest.toml", settings);
    let output = scratch.fix(&["--with", "test-group"]);
    let by_hand = "by hand: test-group = \"report_csv\" on opens in corner-shop::shop: an existing override may assign another test group";
    assert!(output.out.contains(by_hand), "{}{}", output.out, output.err);
    assert!(
        output.out.ends_with("; all of it is to be done by hand\n"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_test_group_that_fix_wrote_is_extended() {
    let users = |tests: &[&'static str]| -> Vec<(&'static str, &'static str, &'static str)> {
        tests
            .iter()
            .map(|test| ("corner-shop::shop", *test, "write"))
            .collect()
    };
    let scratch = Scratch::new(OURS)
        .found("file", "report.csv", "nextest", &users(&["opens", "closes"]))
        .found("file", "other.csv", "nextest", &users(&["counts", "idles"]));
    scratch.commit();
    let group = ["--with", "test-group", "--apply"];
    let output = scratch.fix(&group);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let written = scratch.read(".config/nextest.toml");
    // The same observation asks for no more.
    let output = scratch.fix(&["--with", "test-group"]);
    assert!(
        output.out.contains("kept apart: file "),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.code, Some(0));
    let scratch = scratch.found("file", "late.csv", "nextest", &users(&["closes", "tries"]));
    let output = scratch.fix(&[&group[..], &["--allow-dirty"]].concat());
    assert!(
        output
            .out
            .contains("test group: report_csv of 3 tests, extended: file report.csv, file late.csv\n"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.code, Some(0));
    let extended = written.replace("test(=opens)\n", "test(=opens)\n  | test(=tries)\n");
    assert_eq!(scratch.read(".config/nextest.toml"), extended);
    // A test of each group: they are no longer two.
    let scratch = scratch.found("file", "both.csv", "nextest", &users(&["opens", "idles"]));
    let output = scratch.fix(&["--with", "test-group"]);
    assert!(
        output.out.contains("by hand: test-group = \"") && output.code == Some(1),
        "{}{}",
        output.out,
        output.err
    );
}

#[test]
fn after_the_first_failure_of_a_nextest_command_there_may_be_more_to_fix() {
    let why = "the observed command failed (exit code 100), and tests after the first failure may not have run: observe with \
               `--no-fail-fast`";
    let none = Scratch::new(OURS).ended_early().fix(&[]);
    let last = format!("cofferdam: could not tell: {why}; no conflict was seen in 6 tests\n");
    assert!(none.out.ends_with(&last), "{}{}", none.out, none.err);
    assert_eq!(none.code, Some(3));
    let users = [
        ("corner-shop::shop", "opens", "write"),
        ("corner-shop::shop", "closes", "write"),
    ];
    let scratch = Scratch::new(OURS)
        .found("file", "report.csv", "nextest", &users)
        .ended_early();
    scratch.commit();
    let apply = ["--with", "test-group", "--apply", "--allow-dirty"];
    for written in [true, false] {
        let output = scratch.fix(&apply);
        assert!(
            output.out.ends_with(&format!("; there may be more: {why}\n")),
            "{written}: {}{}",
            output.out,
            output.err
        );
        assert_eq!(output.code, Some(3), "{written}");
    }
}

#[test]
fn an_unreadable_nextest_configuration_is_not_overwritten() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "nextest", &users);
    std::fs::create_dir_all(scratch.path().join(".config/nextest.toml")).unwrap();
    let output = scratch.fix(&["--with", "test-group"]);
    assert!(
        output.err.contains("could not read") && output.err.contains("nextest.toml"),
        "{}",
        output.err
    );
    assert_eq!(output.code, Some(3));
}

#[test]
fn guarded_conflicts_and_order_leaks_need_no_change() {
    let users = [("shop", "opens", "write"), ("shop", "closes", "write")];
    let scratch = Scratch::new(OURS)
        .guarded("env", "SHOP_DB", &users)
        .leaked("left.csv", &users);
    let output = scratch.fix(&[]);
    assert!(
        output
            .out
            .contains("left behind: file left.csv: let each have its own (src/lib.rs:5)"),
        "{}",
        output.out
    );
    assert!(
        output
            .out
            .ends_with("cofferdam: nothing to fix: no conflict was seen in 6 tests\n"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn an_attribute_between_two_sequential_programs_is_unneeded() {
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
    let output = scratch.fix(&[]);
    let idle = "unused attribute: #[serial_test::serial(db)] (tests/common/mod.rs:2)\n";
    assert!(output.out.contains(idle), "{}{}", output.out, output.err);
}

#[test]
fn a_test_that_is_not_in_the_source_is_a_manual_step() {
    let users = [
        ("corner_shop", "tests::made_by_a_macro", "write"),
        ("corner_shop", "tests::sells", "write"),
    ];
    let scratch = Scratch::new(OURS).found("file", "report.csv", "cargo-test", &users);
    scratch.commit();
    let output = scratch.fix(&["--apply"]);
    let by_hand = "by hand: #[serial(report_csv)] on tests::made_by_a_macro in corner_shop: it is not in the source: a macro may have generated it";
    assert!(output.out.contains(by_hand), "{}", output.out);
    assert!(
        output
            .out
            .ends_with("; written; the rest is to be done by hand\n"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_test_with_several_attributes_of_serial_test_is_a_manual_step() {
    let users = [
        ("shop", "t::opens", "write"),
        ("shop", "closes", "write"),
        ("shop", "counts", "read"),
    ];
    let scratch = Scratch::new("serial_test = \"4\"\n").found("env", "SHOP_DB", "cargo-test", &users);
    let text = "use serial_test::*;\n\n#[serial(db)]\nmod t {\n    #[test]\n    fn opens() {}\n}\n\n#[test]\n#[serial(alone)]\nfn closes() {}\n\n#[test]\n#[parallel]\nfn counts() {}\n";
    scratch.write("tests/shop.rs", text);
    scratch.commit();
    let output = scratch.fix(&["--with", "serial-test", "--apply"]);
    let by_hand = "by hand: #[serial(shop_db)] on t::opens in shop: it takes keys by several attributes or by its module's";
    assert!(output.out.contains(by_hand), "{}{}", output.out, output.err);
    assert_eq!(
        scratch.read("tests/shop.rs"),
        text.replace("(alone)", "(alone, shop_db)")
            .replace("#[parallel]", "#[parallel]\n#[parallel(shop_db)]")
    );
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_test_with_conditional_keys_is_a_manual_step() {
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
    let output = scratch.fix(&[]);
    for test in ["t::opens", "closes"] {
        let by_hand = format!(
            "by hand: #[serial(shop_db)] on {test} in shop: its keys are in a #[cfg_attr], whose condition is unknown; "
        );
        assert!(output.out.contains(&by_hand), "{}{}", output.out, output.err);
    }
    let changed = " #[cfg_attr(serial, ignore)]\n+#[parallel(shop_db)]\n fn counts() {}\n";
    assert!(output.out.contains(changed), "{}", output.out);
}

#[test]
fn the_example_in_the_documentation_has_the_fields_of_the_report() {
    let page = include_str!("../../../../docs/reference/findings.md");
    let (_, section) = page.split_once("\n## `fix`\n").unwrap();
    let example = section.split("```json\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let example: serde_json::Value = serde_json::from_str(example).unwrap();
    let users = [("shop", "made_by_a_macro", "write"), ("shop", "counts", "write")];
    let scratch = Scratch::new("")
        .found("file", "report.csv", "nextest", &users)
        .found_static(
            "shop::TILL",
            "static TILL: std::sync::Mutex<u8> = std::sync::Mutex::new(0);",
            &users,
        );
    let output = scratch.fix(&["--with", "cofferdam", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for path in [
        "",
        "/keys/0",
        "/statics/0",
        "/changes/0",
        "/advice/0",
        "/by_hand/0",
        "/unused_attributes/0",
    ] {
        let (output, shown) = (report.pointer(path).unwrap(), example.pointer(path).unwrap());
        assert_eq!(fields(output), fields(shown), "{path}");
    }
    assert_eq!(report["missing_library"], example["missing_library"]);
}

#[test]
fn an_observation_from_another_machine_is_fixed_here() {
    let scratch = report();
    scratch.fix(&[]);
    let here = scratch.path().display().to_string();
    let text = scratch
        .read("observed/last.json")
        .replace(&here, "/ci/build/shop");
    scratch.write("observed/ci.json", &text);
    let dir = scratch.path();
    let output = crate::recording::output_of(&dir, &["fix", "--format", "json", "observed/ci.json"]);
    let output: serde_json::Value =
        serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{error}: {}", output.err));
    assert_eq!(output["changes"][1]["file"], "src/lib.rs");
    assert_eq!(
        (&output["functions"], &output["written"]),
        (&2.into(), &false.into())
    );
}

#[test]
fn a_missing_observation_is_reported_with_the_command_that_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = crate::recording::output_of(dir.path(), &["fix"]);
    assert!(
        output
            .err
            .contains("nothing was observed yet; `cargo cofferdam observe -- cargo test` writes it"),
        "{}",
        output.err
    );
    assert_eq!(output.code, Some(3));
}

#[test]
fn a_static_that_a_failed_test_and_its_culprit_name_is_shown_with_what_it_means_under_nextest() {
    let shop = "use std::sync::OnceLock;\nstatic TILL: OnceLock<u8> = OnceLock::new();\n#[test]\nfn opens() { TILL.set(1).unwrap(); }\n\
                #[test]\nfn closes() { TILL.set(2).unwrap(); }\n";
    for (dependency, help) in [
        (
            OURS,
            "; `cofferdam::WorkerLocal` with `per_test` or `reset` begins each test anew, and `cofferdam::Fixture` is one for all processes",
        ),
        ("serial_test = \"4\"\n", ""),
    ] {
        let scratch = Scratch::new(dependency).fails_after("closes", "opens");
        scratch.write("tests/shop.rs", shop);
        let output = scratch.fix(&[]);
        let expected = format!(
            "leaves behind: perhaps `TILL`, a value of OnceLock (tests/shop.rs:2): the tests of a process share it, and under nextest each \
             test has its own{help}; restore it"
        );
        assert!(output.out.contains(&expected), "{}{}", output.out, output.err);
    }
}
