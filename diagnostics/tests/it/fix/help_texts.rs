//! Follows all help texts to the letter in one suite: `observe` finds no conflict in it.

use crate::recording::CommandOutput;
use crate::suites::has_nextest;
use cofferdam::Resource;
use cofferdam::format::ResourceKind as Kind;
use cofferdam_conflicts::{Harness, HelpContext, SuiteApi};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Resource kinds, each with a name and a test body, in which `CODE` is the first code of the help text.
const OWN: [(Kind, &str, &str); 12] = [
    (Kind::File, "/shop/report.csv", "used(&CODE)"),
    (
        Kind::Directory,
        "/shop/uploads",
        "let dir = CODE; std::fs::create_dir_all(&dir)?; used(&dir.join(\"a\"))",
    ),
    (Kind::GitRepository, "/shop/repo", "commits(&CODE)"),
    (Kind::Database, "/shop/orders.db", "used(&CODE)"),
    (
        Kind::TempName,
        "/tmp/shop-*",
        "let dir = CODE; std::fs::create_dir_all(&dir)?; used(&dir.join(\"a\"))",
    ),
    (Kind::UnixSocket, "/shop/a-server-of-orders.sock", "serves(&CODE)"),
    (Kind::SharedMemory, "/orders", "counts(CODE)"),
    (
        Kind::Port,
        "5432",
        "let there = CODE?; std::net::TcpStream::connect(there.local_addr()?)?; Ok(())",
    ),
    (
        Kind::UdpPort,
        "53",
        "let there = CODE?; there.send_to(b\"x\", there.local_addr()?)?; Ok(())",
    ),
    (
        Kind::Env,
        "SHOP_MODE",
        "use std::process::Command; child(CODE(&mut Command::new(\"true\"), \"SHOP_MODE\", \"x\"))",
    ),
    (
        Kind::Cwd,
        "",
        "use std::process::Command; child(CODE(&mut Command::new(\"true\"), \"/\"))",
    ),
    (
        Kind::Umask,
        "",
        "use std::fs::OpenOptions; use std::os::unix::fs::OpenOptionsExt; \
         CODE(OpenOptions::new().write(true).create(true), 0o600).open(std::env::temp_dir().join(\"API-THIS\"))?; Ok(())",
    ),
];

/// Resource kinds of a process, each with a test body that changes it, below the attribute of the help text.
const ISOLATED: [(Kind, &str, &str); 3] = [
    (
        Kind::Env,
        "SHOP_MODE",
        "unsafe { std::env::set_var(\"SHOP_MODE\", \"THIS\") }; sleep(Duration::from_millis(5)); \
         assert_eq!(std::env::var(\"SHOP_MODE\")?, \"THIS\"); Ok(())",
    ),
    (
        Kind::Cwd,
        "",
        "let dir = std::env::temp_dir().join(\"THIS\"); std::fs::create_dir_all(&dir)?; std::env::set_current_dir(&dir)?; \
         sleep(Duration::from_millis(5)); assert!(std::env::current_dir()?.ends_with(\"THIS\")); Ok(())",
    ),
    (
        Kind::Umask,
        "",
        "unsafe extern \"C\" { safe fn umask(mask: u32) -> u32; } let mask = \"THIS\".len() as u32; umask(mask); \
         sleep(Duration::from_millis(5)); assert_eq!(umask(mask), mask); Ok(())",
    ),
];

/// The beginning of each program: a function that fails if another test uses the file.
const USES_A_FILE: &str = r#"
use std::{error::Error, path::Path, thread::sleep, time::Duration};
type Outcome = Result<(), Box<dyn Error>>;
fn used(path: &Path) -> Outcome {
    std::fs::write(path, "x")?;
    sleep(Duration::from_millis(5));
    assert_eq!(std::fs::read_to_string(path)?, "x");
    Ok(std::fs::remove_file(path)?)
}
"#;

/// Functions that use other resources.
const USES_OTHERS: &str = r#"
use std::{ffi, io, process::Command};
fn child(command: &mut Command) -> Outcome {
    assert!(command.status()?.success());
    Ok(())
}
fn commits(dir: &Path) -> Outcome {
    child(Command::new("git").args(["init", "-q"]).arg(dir))?;
    std::fs::write(dir.join("a"), "x")?;
    child(Command::new("git").args(["add", "a"]).current_dir(dir))
}
fn serves(path: &Path) -> Outcome {
    let server = std::os::unix::net::UnixListener::bind(path)?;
    sleep(Duration::from_millis(5));
    drop(server);
    Ok(std::fs::remove_file(path)?)
}
fn counts(name: String) -> Outcome {
    unsafe extern "C" {
        fn shm_open(name: *const ffi::c_char, flags: ffi::c_int, mode: ffi::c_uint) -> ffi::c_int;
        fn shm_unlink(name: *const ffi::c_char) -> ffi::c_int;
    }
    let name = ffi::CString::new(name)?;
    // O_CREAT, O_EXCL and O_RDWR.
    if unsafe { shm_open(name.as_ptr(), 0o302, 0o600) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    unsafe { shm_unlink(name.as_ptr()) };
    Ok(())
}
"#;

/// Returns the code between backticks.
fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Returns the body with the code that gives a test its own resource, after the statement that it needs.
fn of_own(help: &str, body: &str) -> String {
    let codes = codes(help.split_once("; where ").unwrap().0);
    let is_statement = |code: &&&str| code.ends_with(';');
    let first = codes.iter().find(is_statement).copied().unwrap_or_default();
    let expressions = codes
        .iter()
        .filter(|code| !is_statement(code) && !code.starts_with("git "));
    let code = expressions.clone().next().unwrap();
    format!("{first} {}", body.replace("CODE", code))
}

/// Returns the part of the help text for tests that must share the resource.
fn shared(kind: Kind, name: &str, suite: &HelpContext<'_>) -> String {
    let text = suite.help(&Resource::new(kind, name));
    text.split_once("; where ").unwrap().1.to_owned()
}

/// Returns a program with two tests of each kind that have their own resource, and two that share one.
fn program(api: SuiteApi) -> String {
    let suite = HelpContext {
        api,
        ..HelpContext::default()
    };
    let mut text = format!("{USES_A_FILE}{USES_OTHERS}");
    let mut test = |attribute: &str, name: &str, body: &str| {
        // Several programs contain the same tests, and need separate files.
        let body = body
            .replace("NAME", &format!("{api:?}-{name}"))
            .replace("THIS", name)
            .replace("API", &format!("{api:?}"));
        writeln!(text, "#[test]\n{attribute}\nfn {name}() -> Outcome {{ {body} }}").unwrap();
    };
    for (kind, name, body) in OWN {
        let help = suite.help(&Resource::new(kind, name));
        let body = match kind {
            // The first code is part of an expression.
            Kind::Env => body.replace("CODE", codes(&help)[0]),
            Kind::Cwd => body.replace("CODE", codes(&help)[0]),
            Kind::Umask => body.replace("CODE", codes(&help)[0]),
            Kind::Port | Kind::UdpPort => body.replace("CODE", &format!("std::net::{}", codes(&help)[0])),
            _ => of_own(&help, body),
        };
        for which in ["one", "other"] {
            let name = format!("{}_{which}", kind.key().replace('-', "_"));
            test("", &name, &body);
        }
    }
    if api == SuiteApi::Cofferdam {
        for (kind, name, body) in ISOLATED {
            let attribute = shared(kind, name, &suite);
            for which in ["one", "other"] {
                let name = format!("{}_changed_by_{which}", kind.key());
                test(codes(&attribute)[0], &name, body);
            }
        }
    }
    let golden = kind_of_golden(&suite);
    for which in ["one", "other"] {
        test("", &format!("golden_{which}"), &golden);
    }
    let share = shared(Kind::File, "/shop/shared.csv", &suite);
    let share = codes(&share);
    for which in ["one", "other"] {
        let path = &format!("used(&std::env::temp_dir().join(\"helped-{api:?}.csv\"))");
        match api {
            SuiteApi::Std => test("", &format!("shared_{which}"), &format!("{} {path}", share[0])),
            _ => test(share[0], &format!("shared_{which}"), path),
        }
    }
    text
}

/// Returns a body that copies a file tracked by Git, and changes the copy.
fn kind_of_golden(suite: &HelpContext<'_>) -> String {
    let tracked = HelpContext {
        is_tracked: true,
        ..*suite
    };
    let golden = "tests/golden.txt";
    let help = tracked.help(&Resource::new(Kind::File, golden));
    let copied = of_own(&help, "let _ = CODE; ");
    let to = copied
        .rsplit_once(", ")
        .map(|_| copied.split_once("golden.txt\", ").unwrap().1);
    let to = to.unwrap().trim_end_matches("; ").strip_suffix(")?").unwrap();
    format!("{copied} used(&{to})")
}

fn doctests(api: SuiteApi) -> String {
    let suite = HelpContext {
        api,
        harness: Harness::Doctest,
        ..HelpContext::default()
    };
    let lock = shared(Kind::File, "/shop/doc.csv", &suite);
    let lock = codes(&lock)[0];
    let mut text = String::new();
    for name in ["saves", "loads"] {
        writeln!(
            text,
            "/// ```\n/// {lock}\n/// let file = std::env::temp_dir().join(\"helped-doc-{api:?}.csv\");\n/// std::fs::write(&file, \"{name}\")?;\n\
             /// std::thread::sleep(std::time::Duration::from_millis(20));\n\
             /// assert_eq!(std::fs::read_to_string(&file)?, \"{name}\");\n/// std::fs::remove_file(file)?;\n\
             /// # Ok::<(), std::io::Error>(())\n/// ```\npub fn {name}() {{}}"
        )
        .unwrap();
    }
    text
}

/// Returns a program with a custom harness that follows nextest's protocol.
fn harness() -> String {
    let suite = HelpContext {
        harness: Harness::Custom,
        is_process: true,
        ..HelpContext::default()
    };
    let lock = shared(Kind::File, "/shop/case.csv", &suite);
    let lock = codes(&lock)[0];
    format!(
        "{USES_A_FILE}\nfn main() -> Outcome {{\n    let args: Vec<String> = std::env::args().collect();\n    \
         if args.iter().any(|arg| arg == \"--list\") {{\n        \
         if !args.iter().any(|arg| arg == \"--ignored\") {{ println!(\"quiet: test\\nloud: test\"); }}\n        \
         return Ok(());\n    }}\n    {lock}\n    used(&std::env::temp_dir().join(\"helped-case.csv\"))\n}}\n"
    )
}

fn suite(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let write = |file: &str, text: &str| {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"helped\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dev-dependencies]\n\
             cofferdam = {{ path = {root:?}, features = [\"macros\"] }}\n\
             serial_test = {{ version = \"4\", default-features = false }}\n\n\
             [[test]]\nname = \"harness\"\nharness = false\n"
        ),
    );
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    write("tests/golden.txt", "x");
    write("tests/std.rs", &program(SuiteApi::Std));
    write(
        "tests/threads.rs",
        &format!("use serial_test::{{serial}};\n{}", program(SuiteApi::SerialTest)),
    );
    write("tests/ours.rs", &program(SuiteApi::Cofferdam));
    write("tests/harness.rs", &harness());
    write(
        "src/lib.rs",
        &format!(
            "{}mod more {{\n{}}}\n",
            doctests(SuiteApi::Std),
            doctests(SuiteApi::Cofferdam)
        ),
    );
}

#[test]
fn a_suite_that_follows_the_help_texts_has_no_conflict() {
    let dir = tempfile::tempdir().unwrap();
    suite(dir.path());
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helped");
    let observe = |command: &[&str]| -> CommandOutput {
        let args = [&["observe", "--confirm", "--"], command].concat();
        let mut command: Command = crate::recording::cofferdam(dir.path(), &args);
        command
            .env_remove("COFFERDAM_DIR")
            .env("CARGO_TARGET_DIR", &built);
        command.output().unwrap().into()
    };
    let mut commands = vec![
        vec![
            "cargo",
            "test",
            "--offline",
            "--lib",
            "--test",
            "std",
            "--test",
            "threads",
            "--test",
            "ours",
        ],
        vec!["cargo", "test", "--offline", "--doc"],
    ];
    if has_nextest() {
        // serial_test's attributes keep only threads apart.
        let programs = ["--test", "harness", "--test", "ours", "--test", "std"];
        commands.push([&["cargo", "nextest", "run", "--offline"][..], &programs].concat());
    }
    for command in commands {
        let output = observe(&command);
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        assert!(
            output
                .out
                .contains("cofferdam: no conflict in what was watched: "),
            "{}",
            output.out
        );
    }
}
