//! Ctrl-C: the first one ends the run after the current step, the second one at once.

use anyhow::Context;
use limpq_core::train::Progress;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for it.
///
/// # Errors
/// When the system does not allow it.
pub fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        super::tell("\nfinishing this step, then saving; Ctrl-C again ends at once");
    })
    .context("cannot listen for Ctrl-C")
}

/// Ends a run after Ctrl-C.
pub struct Interrupt;

impl Progress for Interrupt {
    fn start(&self, _: &str, _: usize, _: usize) {}

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}
