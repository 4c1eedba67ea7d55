//! Statics of std and of common crates, with the effect of sharing them and the way to avoid it.

/// A static with state of the entire process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownStatic {
    /// The hook that `std::panic::set_hook` sets.
    PanicHook,
    /// The maximum level of the `log` crate.
    LogLevel,
    /// The logger of the `log` crate.
    Logger,
    /// The global default subscriber of tracing.
    Subscriber,
    /// The cached interest of tracing's callsites.
    Callsites,
    /// The global thread pool of rayon.
    ThreadPool,
}

/// The statics by their paths.
const KNOWN: [(&str, KnownStatic); 12] = [
    ("std::panicking::HOOK", KnownStatic::PanicHook),
    ("log::MAX_LOG_LEVEL_FILTER", KnownStatic::LogLevel),
    ("log::LOGGER", KnownStatic::Logger),
    ("log::STATE", KnownStatic::Logger),
    ("tracing_core::dispatcher::GLOBAL_INIT", KnownStatic::Subscriber),
    (
        "tracing_core::dispatcher::GLOBAL_DISPATCH",
        KnownStatic::Subscriber,
    ),
    ("tracing_core::dispatcher::EXISTS", KnownStatic::Subscriber),
    ("tracing_core::callsite::DISPATCHERS", KnownStatic::Callsites),
    (
        "tracing_core::callsite::dispatchers::LOCKED_DISPATCHERS",
        KnownStatic::Callsites,
    ),
    ("tracing_core::metadata::MAX_LEVEL", KnownStatic::Callsites),
    ("rayon_core::registry::THE_REGISTRY", KnownStatic::ThreadPool),
    ("rayon_core::registry::THE_REGISTRY_SET", KnownStatic::ThreadPool),
];

/// The last part of the path of a callsite that tracing's macros declare in the user's code.
const CALLSITE: &str = "::__CALLSITE";

impl KnownStatic {
    /// Returns the known static with this path.
    pub fn of(path: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|(known, _)| *known == path);
        known
            .map(|(_, known)| *known)
            .or_else(|| path.ends_with(CALLSITE).then_some(Self::Callsites))
    }

    /// Returns whether it holds code that its readers call.
    pub fn holds_code(self) -> bool {
        matches!(self, Self::PanicHook | Self::Logger | Self::Subscriber)
    }

    /// Returns the effect of sharing it between the tests of a process, as a sentence of a report.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PanicHook => "a process has one panic hook: a test that sets it sets it for all",
            Self::LogLevel => {
                "a process has one maximum level of the crate log: a test that sets it sets it for all"
            }
            Self::Logger => {
                "a process has one logger of the crate log: the first test that sets it sets it for all"
            }
            Self::Subscriber => {
                "a process has one global subscriber of tracing: the first test that sets it sets it for all"
            }
            Self::Callsites => {
                "tracing caches whether anything is interested in a callsite: the first test that reaches it decides for all"
            }
            Self::ThreadPool => {
                "a process has one global thread pool of rayon: the first test that uses it builds it for all"
            }
        }
    }

    /// Returns the change that ends a conflict on it while the tests stay in one process.
    pub(crate) fn own(self) -> &'static str {
        match self {
            Self::PanicHook => {
                "catch the panic (`std::panic::catch_unwind` returns its payload) in place of setting the hook"
            }
            Self::LogLevel | Self::Logger => {
                "set logger and level once, in a function that each test calls (`std::sync::Once`), and let no test change them"
            }
            Self::Subscriber => {
                "give each test its own subscriber: `let _guard = tracing::subscriber::set_default(…)`"
            }
            Self::Callsites => {
                "set a global subscriber before each test, once: `let _ = \
                 tracing::subscriber::set_global_default(tracing_subscriber::registry())`"
            }
            Self::ThreadPool => {
                "give each test its own pool: `rayon::ThreadPoolBuilder::new().build()?.install(…)`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_static_is_recognized_by_its_full_path_and_a_callsite_by_the_name_that_the_macro_gives_it() {
        for (path, known) in [
            ("std::panicking::HOOK", Some(KnownStatic::PanicHook)),
            ("shop::std::panicking::HOOK", None),
            ("log::LOGGER", Some(KnownStatic::Logger)),
            ("shop::log::LOGGER", None),
            ("shop::order::__CALLSITE", Some(KnownStatic::Callsites)),
            ("shop::CALLSITE", None),
        ] {
            assert_eq!(KnownStatic::of(path), known, "{path}");
        }
    }

    #[test]
    fn a_reader_of_a_hook_or_a_logger_calls_what_a_test_put_there() {
        assert!(KnownStatic::PanicHook.holds_code() && KnownStatic::Logger.holds_code());
        assert!(!KnownStatic::LogLevel.holds_code() && !KnownStatic::ThreadPool.holds_code());
    }
}
