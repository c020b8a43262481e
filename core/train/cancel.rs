//! Cancellation: a token that long-running work checks at every step.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Clones share one state and may be on any thread: one side cancels, the work checks. The work then saves a checkpoint
/// and stops after the current step.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the work to stop. Returns whether that had been asked before.
    pub fn cancel(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether the work was asked to stop.
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
