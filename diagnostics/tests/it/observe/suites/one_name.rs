//! A harness with libtest's options that takes one name at most, as libtest-mimic does.

use std::path::Path;

const HELP: &str = "By default, all tests are run in parallel.";

type Test = (&'static str, fn(&Path) -> bool);

const TESTS: [Test; 3] = [
    ("größe a", |dir| std::fs::write(dir.join("changed"), "").is_ok()),
    ("needs it unchanged", |dir| !dir.join("changed").exists()),
    ("z", |_| true),
];

fn main() {
    let mut names = Vec::new();
    let (mut lists, mut is_exact, mut only_ignored) = (false, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => lists = true,
            "--exact" => is_exact = true,
            "--ignored" => only_ignored = true,
            "--help" => println!("{HELP}"),
            "--format" => _ = arguments.next(),
            name if !name.starts_with('-') => names.push(name.to_owned()),
            _ => {}
        }
    }
    if names.len() > 1 {
        eprintln!("error: unexpected argument '{}' found", names[1]);
        std::process::exit(2);
    }
    let is_chosen = |name: &str| match names.first() {
        Some(chosen) if is_exact => name == chosen,
        Some(chosen) => name.contains(chosen.as_str()),
        None => true,
    };
    let chosen: Vec<Test> = TESTS.into_iter().filter(|(name, _)| !only_ignored && is_chosen(name)).collect();
    if lists {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("met");
    let _ = std::fs::remove_file(dir.join("changed"));
    println!("running {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in chosen.iter() {
        let passes = test(&dir);
        println!("test {name} ... {}", if passes { "ok" } else { "FAILED" });
        if !passes {
            failed.push(*name);
        }
    }
    let passed = chosen.len() - failed.len();
    if !failed.is_empty() {
        println!("\nfailures:\n\nfailures:\n    {}\n", failed.join("\n    "));
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        failed.len()
    );
    std::process::exit(if failed.is_empty() { 0 } else { 101 });
}
