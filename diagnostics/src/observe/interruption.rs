//! A signal that ends what runs at the moment, so that its report can still be written.

use cofferdam_batch::signals::SignalScope;
use signal_hook::SigId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// From its creation to its end, Ctrl-C and its like set a flag.
#[derive(Debug)]
pub(crate) struct Interruption {
    is_requested: Arc<AtomicBool>,
    registered: Vec<SigId>,
    _scope: SignalScope,
}

impl Interruption {
    pub(crate) fn begin() -> Self {
        let is_requested = Arc::new(AtomicBool::new(false));
        let scope = SignalScope::enter();
        let register = |signal: &i32| signal_hook::flag::register(*signal, Arc::clone(&is_requested)).ok();
        Self {
            registered: scope.signals().iter().filter_map(register).collect(),
            is_requested,
            _scope: scope,
        }
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Relaxed)
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        for signal in &self.registered {
            signal_hook::low_level::unregister(*signal);
        }
    }
}
