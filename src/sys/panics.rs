//! A look at each panic of the process.

use std::panic::{set_hook, take_hook};
use std::sync::Once;

/// Calls `look` on the thread of each panic from now on, before whatever reports panics here. Nothing else tells a thread's
/// destructors that its test panicked: the runner has caught the panic by then.
///
/// A program that replaces the hook without calling the one before is not looked at any more.
pub(crate) fn look_at_each(look: fn()) {
    static ONCE: Once = Once::new();
    // The hook cannot be changed by a thread that panics; another one does it then.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            look();
            report(panic);
        }));
    });
}
