//! The hooks: functions that programs call in place of libc's, by topic.

pub(crate) mod child_environment;
pub(crate) mod descriptor_calls;
pub(crate) mod env_calls;
pub(crate) mod file_calls;
pub(crate) mod kill_calls;
pub(crate) mod locale_calls;
pub(crate) mod lock_calls;
pub(crate) mod long_jumps;
pub(crate) mod notify_calls;
pub(crate) mod old_signal_calls;
pub(crate) mod process_calls;
pub(crate) mod result_calls;
#[cfg(target_arch = "x86_64")]
mod saved_masks;
pub(crate) mod shell_calls;
pub(crate) mod signal_actions;
pub(crate) mod signal_masks;
pub(crate) mod signal_stacks;
pub(crate) mod socket_calls;
pub(crate) mod thread_calls;
pub(crate) mod thread_names;
pub(crate) mod wait_calls;

/// Looks up the real functions behind all hooks, because a signal handler or a forked copy must not.
pub(crate) fn resolve() {
    env_calls::real::resolve();
    env_calls::real_time::resolve();
    file_calls::real::resolve();
    kill_calls::real::resolve();
    locale_calls::real::resolve();
    locale_calls::real_conventions::resolve();
    lock_calls::real::resolve();
    long_jumps::real::resolve();
    notify_calls::real::resolve();
    process_calls::real::resolve();
    process_calls::real_fork::resolve();
    result_calls::real::resolve();
    // Elsewhere masks are as the program sets them.
    #[cfg(target_arch = "x86_64")]
    saved_masks::resolve();
    shell_calls::real::resolve();
    signal_actions::real::resolve();
    signal_masks::real::resolve();
    signal_masks::real_waits::resolve();
    signal_stacks::real::resolve();
    socket_calls::real::resolve();
    thread_calls::real::resolve();
    thread_calls::real_naming::resolve();
    wait_calls::real::resolve();
}
