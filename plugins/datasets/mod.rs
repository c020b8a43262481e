//! Data sets; one file each.

mod cifar10;
mod digits;
mod files;
mod idx;
mod image_folder;

pub use cifar10::Cifar10;
pub use digits::Digits;
pub use idx::Idx;
pub use image_folder::{ImageFolder, Unreadable, decode_image};
