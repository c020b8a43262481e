//! Ctrl-C: the first one stops the run after the current step, the second one stops it at once.

use anyhow::Context;
use limpq_core::train::CancelToken;

/// Listens for Ctrl-C. Returns the token that the first one cancels.
///
/// # Errors
/// When the system does not allow it.
pub fn listen() -> anyhow::Result<CancelToken> {
    let token = CancelToken::default();
    let held = token.clone();
    ctrlc::set_handler(move || {
        if held.cancel() {
            std::process::exit(130);
        }
        super::tell("\nfinishing this step, then saving; Ctrl-C again stops at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(token)
}
