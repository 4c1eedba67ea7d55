//! Help texts for each kind of resource, with the API that the suite has.

use crate::known_static::KnownStatic;
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam::format::Scope;

/// The crate whose API a suite can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SuiteApi {
    /// cofferdam, with its attributes.
    #[default]
    Cofferdam,
    /// serial_test's attributes, and the standard library.
    SerialTest,
    /// The standard library alone.
    Std,
}

/// The harness that runs the tests: attributes act only under libtest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Harness {
    /// libtest, which `#[test]` functions are for.
    #[default]
    Libtest,
    /// rustdoc, for the examples in documentation.
    Doctest,
    /// A harness of the test program's own: `harness = false`.
    Custom,
}

/// The code in which a static is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaticPlace {
    /// The tests, or code that is compiled for tests alone.
    Tests,
    /// The code under test.
    #[default]
    Production,
    /// A package of another workspace or of a registry.
    Dependency,
}

/// The facts about a suite that [`help`](Self::help) builds on. The default is a suite with cofferdam.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HelpContext<'a> {
    /// The API that the suite has.
    pub api: SuiteApi,
    /// The harness of the tests.
    pub harness: Harness,
    /// The key that the suite's attributes take on this resource; without one it is made from the resource's name.
    pub key: Option<&'a str>,
    /// Each test is a process of its own, as under nextest.
    pub is_process: bool,
    /// A service uses the resource, and not the tests themselves.
    pub by_service: bool,
    /// The tests belong to different runs.
    pub between_runs: bool,
    /// Git tracks the file.
    pub is_tracked: bool,
    /// The path has a name that was chosen at random, so tests share it because something else passes it on.
    pub is_random: bool,
    /// The code in which the static is declared.
    pub static_place: StaticPlace,
    /// The declaration of the static with which each worker or test has its own value, if nothing else has to change.
    pub declaration: Option<&'a str>,
}

impl HelpContext<'_> {
    /// Returns the help for a conflict on the resource: first the way to give each test its own, then, after `; where `, the
    /// way to keep tests apart that have to share it.
    ///
    /// ```
    /// use cofferdam::Resource;
    /// use cofferdam_conflicts::{HelpContext, SuiteApi};
    /// let suite = HelpContext { api: SuiteApi::SerialTest, key: Some("db"), ..HelpContext::default() };
    /// let help = suite.help(&Resource::env("SHOP_DB"));
    /// assert!(help.ends_with("`#[serial(db)]` on the tests that change it and `#[parallel(db)]` on those that only read it"));
    /// ```
    pub fn help(&self, resource: &Resource) -> String {
        let (kind, name) = (resource.kind(), resource.as_str());
        let apart = match kind {
            // A lock makes tests wait, and does not restore the value.
            ResourceKind::Env | ResourceKind::Cwd | ResourceKind::Umask if self.can_isolate() => {
                self.process_of_its_own().to_owned()
            }
            _ => self.apart(kind, name),
        };
        let (first, dir, path) = (self.first(), self.dir(), self.path(last_part(name)));
        let named = self.named();
        let user = if self.by_service { "worker" } else { "test" };
        match kind {
            ResourceKind::File if self.is_tracked => format!(
                "let each {user} change a copy of its own: {first}`std::fs::copy({name:?}, {path})?`{named}; where the file \
                 itself has to change, {apart}"
            ),
            ResourceKind::File | ResourceKind::Directory | ResourceKind::Database if self.is_random => {
                format!(
                    "the path is random, so something else that the tests share passes it on, such as a static: give each {user} its \
                 own of that; where they have to share it, {apart}"
                )
            }
            ResourceKind::File => format!(
                "give each {user} its own file: {first}`{path}` instead of the fixed path{named}; where they have to share it, \
                 {apart}"
            ),
            ResourceKind::Directory => format!(
                "give each {user} its own directory: {first}`{dir}` instead of the fixed path{named}; where they have to share \
                 it, {apart}"
            ),
            ResourceKind::GitRepository => format!(
                "give each {user} its own repository: {first}`git init` or `git clone` into `{dir}`{named}; where they have to \
                 share it, {apart}"
            ),
            ResourceKind::Database => format!(
                "give each {user} its own database: {first}`{path}` instead of the fixed path, or `:memory:`{named}; where they \
                 have to share it, {apart}"
            ),
            ResourceKind::TempName => format!(
                "a counter, a process ID or the time alone does not make a name unique: use {first}`{dir}`{named}; where they \
                 have to share it, {apart}"
            ),
            ResourceKind::UnixSocket => self.socket(name, &apart),
            ResourceKind::SharedMemory => format!(
                "give each test its own name, which is no path: `format!(\"/NAME-{{}}\", std::process::id())`, with the \
                 test's name for NAME; where they have to share it, {apart}"
            ),
            ResourceKind::Port => self.port("TcpListener", &apart),
            ResourceKind::UdpPort => self.port("UdpSocket", &apart),
            ResourceKind::Env => format!(
                "pass the value as an argument, or to a child with `Command::env`; where the code under test reads {name} \
                 itself, {apart}"
            ),
            ResourceKind::Cwd => format!(
                "use absolute paths, or `Command::current_dir` for children; where it has to be changed, {apart}"
            ),
            ResourceKind::Umask => format!(
                "give the file its mode when it is made (`OpenOptions::mode`), or with `set_permissions`; where the mask \
                 has to be changed, {apart}"
            ),
            ResourceKind::Locale => format!(
                "pass the locale to the code that needs it, or use `newlocale` and `uselocale`, which change one thread; \
                 where the process's has to be changed, {apart}"
            ),
            ResourceKind::Signal => format!(
                "{}; where tests of one process have to change it, {apart}",
                self.process_of_its_own()
            ),
            ResourceKind::Executable => format!(
                "let another process write the program (`cp`, a build script), or start a script by its interpreter \
                 (`sh PATH`): a process that starts while the file is open here inherits it, and executing it fails with \
                 ETXTBSY; where a test has to write what it executes, {apart}"
            ),
            ResourceKind::Children => format!(
                "wait for each child by its process ID: `Child::wait`, or `waitpid` with that ID; where a test has to wait for \
                 any child, {apart}"
            ),
            ResourceKind::Descriptors => format!(
                "close each descriptor once, by its only owner: `OwnedFd`, `File` (`into_raw_fd` gives it up, `as_raw_fd` does \
                 not); where the code under test closes one twice, {apart}"
            ),
            ResourceKind::Static => self.own_static(name, &apart),
            ResourceKind::Name => self.name(&apart),
        }
    }

    /// Returns whether `#[isolated]` can be put on the tests.
    fn can_isolate(&self) -> bool {
        self.api == SuiteApi::Cofferdam && self.harness == Harness::Libtest && !self.by_service
    }

    /// Returns the way to run each test in a process that no other test shares.
    fn process_of_its_own(&self) -> &'static str {
        match (self.harness, self.api) {
            // nextest runs no doctests.
            (Harness::Doctest, _) => {
                "mark the examples `standalone_crate`: each is a process of its own then"
            }
            (Harness::Libtest, SuiteApi::Cofferdam) => {
                "put `#[cofferdam::isolated]` (feature `macros`) on the tests that change it: each is a process of its own then"
            }
            (Harness::Libtest | Harness::Custom, _) => {
                "run the suite with `cargo nextest run`: each test is a process of its own then"
            }
        }
    }

    /// Returns the statement that the expressions need, with a conjunction.
    fn first(&self) -> &'static str {
        match self.api {
            SuiteApi::Cofferdam if !self.by_service => "`let dir = cofferdam::lease::dir()?;` and ",
            SuiteApi::Cofferdam | SuiteApi::SerialTest | SuiteApi::Std => "",
        }
    }

    /// Returns an expression for the directory of a test.
    fn dir(&self) -> &'static str {
        match self.api {
            SuiteApi::Cofferdam if self.by_service => "cx.dir()?",
            SuiteApi::Cofferdam => "dir",
            SuiteApi::SerialTest | SuiteApi::Std => {
                "std::env::temp_dir().join(format!(\"NAME-{}\", std::process::id()))"
            }
        }
    }

    /// Returns an expression for a path of a test.
    fn path(&self, last: &str) -> String {
        match self.api {
            SuiteApi::Cofferdam => format!("{}.join({last:?})", self.dir()),
            SuiteApi::SerialTest | SuiteApi::Std => {
                let last = last.replace('{', "{{").replace('}', "}}");
                let format = format!("NAME-{{}}-{last}");
                format!("std::env::temp_dir().join(format!({format:?}, std::process::id()))")
            }
        }
    }

    /// Returns the instruction to replace NAME in these expressions.
    fn named(&self) -> &'static str {
        match self.api {
            SuiteApi::Cofferdam => "",
            SuiteApi::SerialTest | SuiteApi::Std => ", with the test's name for NAME",
        }
    }

    fn socket(&self, name: &str, apart: &str) -> String {
        let own = if name.starts_with('@') {
            "give each test its own name: `format!(\"NAME-{}\", std::process::id())` with the test's name for NAME".to_owned()
        } else {
            match self.api {
                // The path of a socket has at most 107 bytes; that of a leased directory may be longer.
                SuiteApi::Cofferdam => format!(
                    "bind it in a short directory of the test's own: `let dir = cofferdam::lease::socket_dir()?;` and \
                     `dir.join({:?})` instead of the fixed path",
                    last_part(name)
                ),
                SuiteApi::SerialTest | SuiteApi::Std => {
                    "give each test its own path: `std::env::temp_dir().join(format!(\"NAME-{}.sock\", \
                     std::process::id()))`, with a short name of the test for NAME: a socket's path has at most 107 bytes"
                        .to_owned()
                }
            }
        };
        format!("{own}; where they have to share it, {apart}")
    }

    fn port(&self, bound: &str, apart: &str) -> String {
        let lease = match self.api {
            SuiteApi::Cofferdam if bound == "TcpListener" => {
                ", or `cofferdam::lease::port()?` where the number is needed before the server starts"
            }
            SuiteApi::Cofferdam | SuiteApi::SerialTest | SuiteApi::Std => "",
        };
        format!(
            "let the system choose: `{bound}::bind((\"127.0.0.1\", 0))`, and pass on the port that `local_addr()` returns\
             {lease}; where the number has to be this one, {apart}"
        )
    }

    fn name(&self, apart: &str) -> String {
        let own = match (self.api, self.between_runs) {
            (SuiteApi::Cofferdam, true) => {
                "let the name hold the run too: `Worker::current().run()` and `.id()`"
            }
            (SuiteApi::Cofferdam, false) => {
                "make the name each worker's own with `Worker::current().run()` and `.id()`"
            }
            (SuiteApi::SerialTest | SuiteApi::Std, _) => {
                "give each test its own name, with `std::process::id()` and the test's name in it"
            }
        };
        format!("{own}; where it has to be one, {apart}")
    }

    fn own_static(&self, path: &str, apart: &str) -> String {
        let last = path.rsplit("::").next().unwrap_or(path);
        let process = self.process_of_its_own();
        let own = match (KnownStatic::of(path), self.static_place, self.api) {
            (Some(known), ..) => known.own().to_owned(),
            (None, StaticPlace::Tests, SuiteApi::Cofferdam) => match self.declaration {
                Some(declaration) => format!("give each test its own: `{declaration}`"),
                None => format!(
                    "give each test its own: `static {last}: cofferdam::WorkerLocal<…> = \
                     cofferdam::WorkerLocal::new(|_| Ok(…)).per_test();`, and `{last}.get()` where it is used"
                ),
            },
            (None, StaticPlace::Tests, SuiteApi::SerialTest | SuiteApi::Std) => {
                "give each test its own: a local variable, or `thread_local!`, since each test has a thread"
                    .to_owned()
            }
            (None, StaticPlace::Production, SuiteApi::Cofferdam) => format!(
                "put `{last}` in a function that returns a `cofferdam::WorkerLocal` under `cfg(feature = \"testing\")`, and \
                 the static otherwise (guide: *Statics*, *In production code*)"
            ),
            (None, StaticPlace::Production, SuiteApi::SerialTest | SuiteApi::Std) => {
                "pass the value as an argument, so that each test can have its own".to_owned()
            }
            (None, StaticPlace::Dependency, _) => {
                return match self.api {
                    SuiteApi::Std => process.to_owned(),
                    // A lock makes tests wait, and does not restore the value.
                    SuiteApi::Cofferdam | SuiteApi::SerialTest => {
                        format!(
                            "{process}; where they have to share one, reset it in each test, under {apart}"
                        )
                    }
                };
            }
        };
        match self.api {
            SuiteApi::Std => format!("{own}; where they have to share it, {process}"),
            SuiteApi::Cofferdam | SuiteApi::SerialTest => format!(
                "{own}; where they have to share it, {process}, or reset it in each test, under {apart}"
            ),
        }
    }

    /// Returns the way to keep tests apart that have to share the resource.
    fn apart(&self, kind: ResourceKind, name: &str) -> String {
        let made = made_key(kind, name);
        let key = self.key.unwrap_or(&made);
        let is_shared_by_processes = self.is_process && kind.scope() != Scope::Process;
        match (self.api, self.harness) {
            (SuiteApi::Cofferdam, Harness::Libtest) => attributes("cofferdam::", key) + " (feature `macros`)",
            (SuiteApi::Cofferdam, Harness::Doctest | Harness::Custom) => {
                format!("begin each with `let _lock = cofferdam::lock({key:?});`")
            }
            (SuiteApi::SerialTest, Harness::Libtest) if !is_shared_by_processes => attributes("", key),
            (SuiteApi::SerialTest | SuiteApi::Std, Harness::Libtest | Harness::Custom)
                if is_shared_by_processes =>
            {
                "a test group of nextest with one thread: `cargo cofferdam fix --with test-group` writes it"
                    .to_owned()
            }
            (SuiteApi::SerialTest | SuiteApi::Std, _) => format!(
                "begin each with `let lock = std::fs::File::create(std::env::temp_dir().join(\"{key}.lock\")).unwrap(); \
                 lock.lock().unwrap();`"
            ),
        }
    }
}

fn attributes(path: &str, key: &str) -> String {
    let written = if key.is_empty() {
        String::new()
    } else {
        format!("({key})")
    };
    format!(
        "`#[{path}serial{written}]` on the tests that change it and `#[{path}parallel{written}]` on those that only read it"
    )
}

fn last_part(name: &str) -> &str {
    let parts = name.rsplit(['/', '\\']);
    parts.into_iter().find(|part| !part.is_empty()).unwrap_or("data")
}

/// Returns a key for an attribute, made from the resource's name.
fn made_key(kind: ResourceKind, name: &str) -> String {
    let source = if name.is_empty() {
        kind.key().to_owned()
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{}_{name}", kind.key())
    } else if Resource::new(kind, name).path().is_some() {
        last_part(name).to_owned()
    } else {
        name.to_owned()
    };
    let parts = source.split(|letter: char| !letter.is_ascii_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let mut key = parts.join("_").to_ascii_lowercase();
    key.truncate(40);
    let key = key.trim_end_matches('_');
    match key.chars().next() {
        None => kind.key().replace('-', "_"),
        Some(first) if first.is_ascii_digit() => format!("_{key}"),
        Some(_) => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_no_api_that_the_suite_does_not_have() {
        for kind in ResourceKind::ALL {
            for harness in [Harness::Libtest, Harness::Doctest, Harness::Custom] {
                for (api, absent) in [
                    (SuiteApi::Cofferdam, &["serial_test", "guarded_by", "NAME-"][..]),
                    (SuiteApi::SerialTest, &["cofferdam::", "Worker::"]),
                    (SuiteApi::Std, &["cofferdam::", "Worker::", "#["]),
                ] {
                    let suite = HelpContext {
                        api,
                        harness,
                        ..HelpContext::default()
                    };
                    let text = suite.help(&Resource::new(*kind, "/w/shop.data"));
                    let is_named = |word: &&&str| text.contains(**word);
                    // A name of shared memory or of an abstract socket is made by hand in any suite.
                    let found = absent
                        .iter()
                        .find(is_named)
                        .filter(|_| *kind != ResourceKind::SharedMemory);
                    assert_eq!(found, None, "{kind:?} {api:?} {harness:?}: {text}");
                    assert_eq!(
                        text.contains("#["),
                        harness == Harness::Libtest && api != SuiteApi::Std,
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_tracked_file_is_copied_a_random_path_names_no_path_and_a_socket_goes_into_a_short_directory() {
        let suite = HelpContext {
            is_tracked: true,
            ..HelpContext::default()
        };
        let text = suite.help(&Resource::new(ResourceKind::File, "/w/tests/golden.txt"));
        assert!(text.contains("std::fs::copy(\"/w/tests/golden.txt\""), "{text}");
        let random = HelpContext {
            is_random: true,
            ..HelpContext::default()
        };
        let text = random.help(&Resource::new(ResourceKind::Directory, "/tmp/.tmpAb3dEf/db"));
        assert!(text.starts_with("the path is random, so "), "{text}");
        let text = suite.help(&Resource::new(ResourceKind::UnixSocket, "/tmp/shop.sock"));
        assert!(
            text.contains("cofferdam::lease::socket_dir()?;` and `dir.join(\"shop.sock\")`"),
            "{text}"
        );
    }

    #[test]
    fn a_static_becomes_each_tests_own_where_its_code_can_be_changed() {
        let help = |path: &str, static_place, api| {
            let suite = HelpContext {
                static_place,
                api,
                ..HelpContext::default()
            };
            suite.help(&Resource::new(ResourceKind::Static, path))
        };
        for (path, place, api, first, second) in [
            (
                "shop::CACHE",
                StaticPlace::Tests,
                SuiteApi::Cofferdam,
                "give each test its own: `static CACHE: cofferdam::WorkerLocal",
                "#[cofferdam::isolated]",
            ),
            (
                "shop::CACHE",
                StaticPlace::Tests,
                SuiteApi::Std,
                "give each test its own",
                "nextest",
            ),
            (
                "shop::CACHE",
                StaticPlace::Production,
                SuiteApi::Cofferdam,
                "put `CACHE` in a function",
                "#[cofferdam::serial(shop_cache)]",
            ),
            (
                "redis::POOL",
                StaticPlace::Dependency,
                SuiteApi::SerialTest,
                "run the suite with `cargo nextest run`",
                "reset it in each test, under `#[serial(redis_pool)]`",
            ),
            (
                "std::panicking::HOOK",
                StaticPlace::Dependency,
                SuiteApi::Std,
                "catch the panic",
                "nextest",
            ),
        ] {
            let text = help(path, place, api);
            assert!(text.starts_with(first) && text.contains(second), "{text}");
        }
    }

    #[test]
    fn processes_are_kept_apart_by_what_processes_share() {
        let suite = HelpContext {
            api: SuiteApi::SerialTest,
            is_process: true,
            ..HelpContext::default()
        };
        let text = suite.help(&Resource::new(ResourceKind::File, "/w/a.csv"));
        assert!(
            text.contains("--with test-group") && !text.contains("#[serial"),
            "{text}"
        );
        let threads = HelpContext {
            is_process: false,
            ..suite
        };
        let text = threads.help(&Resource::new(ResourceKind::File, "/w/a.csv"));
        assert!(text.contains("#[serial(a_csv)]"), "{text}");
    }

    #[test]
    fn a_key_can_stand_in_an_attribute() {
        for (kind, name, key) in [
            (ResourceKind::File, "/w/2024.log", "_2024_log"),
            (ResourceKind::Port, "53", "port_53"),
            (ResourceKind::UdpPort, "53", "udp_port_53"),
            (ResourceKind::Cwd, "", "cwd"),
            (ResourceKind::SharedMemory, "/counters-test", "counters_test"),
            (ResourceKind::TempName, "/tmp/.clockdir-*-*", "clockdir"),
            (ResourceKind::TempName, "/tmp/*", "temp_name"),
        ] {
            assert_eq!(made_key(kind, name), key);
        }
    }
}
