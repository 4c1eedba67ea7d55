//! The page on statics in production code: tests have one value per worker, and a release has the plain static.

use crate::markdown::fences;
use crate::stranger::{REPOSITORY, Suite, text};

/// The library, with a caller of its static.
const LIBRARY: &str = "mod orders;
pub use orders::*;

pub fn place(order: u32) -> usize {
    let orders = orders();
    let mut orders = orders.lock().unwrap();
    orders.push(order);
    orders.len()
}

#[test]
fn a_unit_test() {
    assert_eq!(place(1), 1);
}
";

const PROGRAM: &str = "fn main() {
    shop::place(1);
    println!(\"{}\", shop::place(2));
}
";

/// With one value for both tests, each would count the other's orders.
const TESTS: &str = "static BOTH: std::sync::Barrier = std::sync::Barrier::new(2);

fn places_two() {
    assert_eq!(shop::place(1), 1);
    BOTH.wait();
    assert_eq!(shop::place(2), 2);
}

#[test]
fn one() {
    places_two();
}

#[test]
fn another() {
    places_two();
}
";

/// The static before the change. Its callers use it directly.
const PLAIN: &str = "use std::sync::{LazyLock, Mutex};

pub type Orders = Mutex<Vec<u32>>;

pub static ORDERS: LazyLock<Orders> = LazyLock::new(Orders::default);
";

/// Returns the first block of the page's section in that language.
fn of_the_page(language: &str) -> String {
    let page = crate::files::read("docs/guide/statics.md");
    let (_, section) = page.split_once("\n## In production code\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let found = fences(section).into_iter().find(|fence| fence.info == language);
    found.unwrap().lines.join("\n") + "\n"
}

fn shop(manifest: &str, library: &str, orders: &str) -> Suite {
    let files = [
        ("src/lib.rs", library),
        ("src/orders.rs", orders),
        ("src/main.rs", PROGRAM),
        ("tests/suite.rs", TESTS),
    ];
    let manifest = format!("{manifest}\n[profile.release]\nstrip = true\n");
    Suite::with_manifest("shop", &manifest, &files)
}

#[track_caller]
fn run(suite: &Suite, command: &str) -> String {
    let ended = suite.cargo(command).output().unwrap();
    assert!(ended.status.success(), "cargo {command}\n{}", text(&ended));
    text(&ended)
}

#[test]
fn a_release_is_the_same_as_with_a_plain_static_and_tests_have_one_value_per_worker() {
    let release = |suite: &Suite| {
        run(suite, "build --release");
        std::fs::read(suite.folder().join("target/release/shop")).unwrap()
    };
    let plain = release(&shop("", &LIBRARY.replace("orders();", "&*ORDERS;"), PLAIN));

    let manifest = of_the_page("toml").replace("\"../cofferdam\"", &format!("{REPOSITORY:?}"));
    let suite = shop(&manifest, LIBRARY, &of_the_page("rust"));
    assert!(release(&suite) == plain, "the stripped programs differ");
    assert!(!run(&suite, "tree -e normal").contains("cofferdam"));
    assert!(run(&suite, "tree -e normal --features testing").contains("cofferdam"));
    // Under nextest, where each process has a static of its own, they could not meet.
    run(&suite, "test -- --test-threads 2");
}

#[test]
fn a_static_of_unit_tests_needs_a_dev_dependency_only() {
    let manifest = format!("[dev-dependencies]\ncofferdam = {{ path = {REPOSITORY:?} }}\n");
    let orders = of_the_page("rust").replace("feature = \"testing\"", "test");
    let files = [("src/lib.rs", LIBRARY), ("src/orders.rs", &orders)];
    let suite = Suite::with_manifest("unit", &manifest, &files);
    assert!(!run(&suite, "tree -e normal").contains("cofferdam"));
    run(&suite, "test --lib");
}
