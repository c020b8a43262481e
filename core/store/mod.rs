//! What lies on disk: files that are written whole or not at all, their hashes, and the folder of a run with the record of
//! what is in it.

pub mod artifact;
#[cfg(feature = "train")]
mod entry;
#[cfg(feature = "train")]
mod folder;
pub mod hash;
#[cfg(feature = "train")]
mod layout;
#[cfg(feature = "train")]
mod origin;
#[cfg(feature = "train")]
mod record;

#[cfg(feature = "train")]
pub(crate) use entry::{CHECKPOINTS, checkpoint, checkpoints};
#[cfg(feature = "train")]
pub use folder::{Folder, FolderError};
#[cfg(feature = "train")]
pub use layout::{Layout, Leaves};
#[cfg(feature = "train")]
pub(crate) use origin::Origin;
#[cfg(feature = "train")]
pub use record::Files;
