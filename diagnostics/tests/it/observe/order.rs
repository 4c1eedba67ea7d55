//! Tests in a requested order.

use super::package::Package;
use crate::recording::CommandOutput;
use std::fs;
use std::path::{Path, PathBuf};

const ORDERED: &str = include_str!("suites/ordered.rs");

/// A suite with a program that was built once, and the names of its tests in the order in which libtest starts them.
struct Suite {
    package: Package,
    program: PathBuf,
    names: Vec<String>,
}

impl Suite {
    fn new() -> Self {
        let package = Package::new("ordered", ORDERED);
        let program = compile(&package, "ordered-program", "tests/ordered.rs", &["--test"]);
        let mut names: Vec<String> = (0..200).map(|number| format!("t{number:03}")).collect();
        names.insert(0, "panics".to_owned());
        Self {
            package,
            program,
            names,
        }
    }

    fn write_order(&self, file: &str, names: &[String]) -> PathBuf {
        self.package.write(file, &format!("{}\n", names.join("\n")));
        self.package.path().join(file)
    }

    /// Runs a script with a function `start`, which starts the program with all tests at once, in `$SANDBOX` if it is set.
    fn run(&self, script: &str, options: &[&str]) -> CommandOutput {
        let script = format!(
            "start() {{ $SANDBOX $CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER {} --test-threads=201 --exact {} \
             > out 2>&1; }}\n{script}\n:",
            self.program.display(),
            self.names.join(" ")
        );
        // What a test writes in a further run is not what it wrote in its order.
        let options = [&["--no-explain"], options].concat();
        let mut observe = self.package.command(&options, &["sh", "-c", &script]);
        // A backtrace takes longer than all the tests.
        observe.env("RUST_BACKTRACE", "0").output().unwrap().into()
    }

    fn ran(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.package.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Compiles a file of the package to a program.
fn compile(package: &Package, program: &str, source: &str, options: &[&str]) -> PathBuf {
    let program = package.path().join(program);
    #[expect(clippy::disallowed_methods, reason = "a program that is started many times")]
    let compiled = std::process::Command::new("rustc")
        .args(["--edition", "2024", "-o"])
        .arg(&program)
        .arg(package.path().join(source))
        .args(options)
        .status();
    assert!(compiled.unwrap().success());
    program
}

/// The names in an order that differs with the seed.
fn shuffled(names: &[String], mut seed: u64) -> Vec<String> {
    let mut names = names.to_vec();
    for place in (1..names.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        names.swap(place, (seed >> 33) as usize % (place + 1));
    }
    names
}

fn request(order: &Path) -> String {
    format!("COFFERDAM_ORDER=\"10000;order;{}\"", order.display())
}

const NOT_KEPT: &str = "the order of its tests: ";

#[test]
fn two_hundred_tests_run_in_every_order_while_the_processors_are_busy() {
    let suite = Suite::new();
    let mut orders = vec![suite.names.clone(), suite.names.iter().rev().cloned().collect()];
    orders.extend((0..10).map(|seed| shuffled(&suite.names, seed)));
    let mut script = String::from("while :; do :; done & one=$!\nwhile :; do :; done & other=$!\n");
    for (number, order) in orders.iter().enumerate() {
        let request = request(&suite.write_order(&format!("order-{number}"), order));
        script += &format!("RAN=ran-{number} {request} start\n");
    }
    script += "kill $one $other";
    let output = suite.run(&script, &["--no-backtrace"]);
    assert!(!output.out.contains(NOT_KEPT), "{}{}", output.out, output.err);
    for (number, order) in orders.iter().enumerate() {
        assert_eq!(suite.ran(&format!("ran-{number}")), *order, "{number}");
    }
    assert!(
        output.out.contains("failed: t005 (ordered-program)"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.out.matches("failed: ").count(), 1, "{}", output.out);
}

#[test]
fn an_order_that_cannot_be_kept_is_given_up_and_the_report_says_why() {
    let suite = Suite::new();
    let reversed: Vec<String> = suite.names.iter().rev().cloned().collect();
    let order = suite.write_order("order", &reversed);
    let missing = suite.write_order("missing", &reversed[1..]);
    let more = [&reversed[..], &["t200".to_owned()]].concat();
    let more = suite.write_order("more", &more).display().to_string();
    let request = request(&order);
    let small = format!("COFFERDAM_ORDER=\"100;order;{more}\"");
    // The address space has room for some of the threads only.
    for (script, options, why) in [
        (
            format!("{} start", self::request(&missing)),
            &[][..],
            "t199 is not in the order",
        ),
        (format!("{small} start"), &[], "not all tests began in time"),
        (
            format!("{request} start"),
            &["--no-names"],
            "the name of a test could not be read",
        ),
        (
            // The address space has room for some of the threads only.
            format!("(ulimit -v 4000000; RUST_MIN_STACK=536870912 {request} start)"),
            &[],
            "no thread could be started for a test",
        ),
        (
            "COFFERDAM_ORDER=\"100;order;no/such/file\" start".to_owned(),
            &[],
            "the order could not be read",
        ),
    ] {
        let _ = fs::remove_file(suite.package.path().join("ran"));
        let output = suite.run(&format!("export RAN=ran\n{script}"), options);
        let line = format!("{NOT_KEPT}{why}");
        assert!(output.out.contains(&line), "{line}: {}{}", output.out, output.err);
        assert_eq!(suite.ran("ran").len(), suite.names.len(), "{why}");
    }
}

/// Forbids itself, and the command that it executes, to read memory with `process_vm_readv`.
const SANDBOX: &str = r#"
use std::os::unix::process::CommandExt as _;
unsafe extern "C" { fn prctl(option: i32, ...) -> i32; }
fn main() {
    const NO_NEW_PRIVILEGES: i32 = 38;
    const SECCOMP: i32 = 22;
    // A call of this number fails with EPERM.
    let filter = [0x20, 0x0100_0015 | 310 << 32, 6 | 0x5_0001 << 32, 0x7fff_0000_0000_0006_u64];
    let program = [filter.len() as u64, filter.as_ptr() as u64];
    unsafe {
        assert_eq!(prctl(NO_NEW_PRIVILEGES, 1_u64, 0_u64, 0_u64, 0_u64), 0);
        assert_eq!(prctl(SECCOMP, 2_u64, program.as_ptr(), 0_u64, 0_u64), 0);
    }
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    panic!("{}", std::process::Command::new(&words[0]).args(&words[1..]).exec());
}
"#;

#[test]
fn names_of_tests_are_read_where_a_sandbox_forbids_the_call_for_it() {
    let suite = Suite::new();
    suite.package.write("sandbox.rs", SANDBOX);
    let sandbox = compile(&suite.package, "sandbox", "sandbox.rs", &[]);
    let reversed: Vec<String> = suite.names.iter().rev().cloned().collect();
    let request = request(&suite.write_order("order", &reversed));
    let script = format!("SANDBOX={} RAN=ran {request} start", sandbox.display());
    let output = suite.run(&script, &[]);
    assert!(!output.out.contains(NOT_KEPT), "{}{}", output.out, output.err);
    assert_eq!(suite.ran("ran"), reversed, "{}{}", output.out, output.err);
}

#[test]
fn a_test_that_exits_the_process_ends_the_order_and_no_later_test_has_a_result() {
    let suite = Suite::new();
    let order = suite.write_order("order", &suite.names);
    let output = suite.run(&format!("RAN=ran ENDS=t100 {} start", request(&order)), &[]);
    assert!(!output.out.contains(NOT_KEPT), "{}{}", output.out, output.err);
    assert_eq!(suite.ran("ran"), suite.names[..102]);
}
