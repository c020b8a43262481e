//! The thread pool for tensor operations. It is started before a run begins, since a pool that cannot be started later
//! is a panic.

use std::{error::Error, io, sync::OnceLock};

/// The threads could not be started.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "cannot start the threads to compute with: {0}. Allow this user or container more threads or more memory (ulimit -u, \
     ulimit -v, the pids limit), or set RAYON_NUM_THREADS to a smaller number than that of the processors"
)]
pub struct ThreadsError(String);

/// Starts the threads once; later calls return the result of the first.
///
/// # Errors
/// The system allows no more threads, or no memory for them.
pub fn start_threads() -> Result<(), ThreadsError> {
    static STARTED: OnceLock<Result<(), ThreadsError>> = OnceLock::new();
    let start = || {
        let Err(error) = rayon::ThreadPoolBuilder::new().build_global() else { return Ok(()) };
        // Without a cause the pool exists already, which is fine.
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.map_or(Ok(()), |cause| Err(ThreadsError(cause.to_string())))
    };
    STARTED.get_or_init(start).clone()
}
