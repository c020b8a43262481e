//! Files on disk: written atomically, identified by their hashes, and kept in a run's folder with a record of its
//! contents.

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
