//! The wish that a run ends: handed to whatever takes long, which asks at every step.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Shared by its clones, on any thread: whoever has one can ask the work to end, and the work looks at its own. It then saves
/// where it is and stops after the current step.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks for the end; whether that had been asked for before.
    pub fn cancel(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_cancelled_together() {
        let (token, other) = (CancelToken::default(), CancelToken::default());
        let clone = token.clone();
        assert!(!clone.cancel(), "nobody had asked before");
        assert!(token.is_cancelled() && token.cancel() && !other.is_cancelled());
    }
}
