//! Sensitivity metrics, one file each.

pub mod fisher;
pub mod infoq;
pub mod learned_step;
pub mod loss_drop;
pub mod mutual_information_drop;
pub mod random;
pub mod reversed;
mod sliced_information;
pub mod static_step;
#[cfg(test)]
mod worked;
