//! The plugins: one file each, registered by name. Nothing lists them; linking this crate is enough.

pub mod costs;
#[cfg(feature = "train")]
pub mod datasets;
pub mod models;
#[cfg(feature = "train")]
pub mod quantizers;
#[cfg(feature = "train")]
pub mod sensitivities;
pub mod solvers;
#[cfg(feature = "train")]
pub mod stages;

/// The examples of the book compile, and their assertions hold.
#[cfg(all(doctest, feature = "train"))]
mod book {
    #[doc = include_str!("../docs/src/extending/cost.md")]
    struct Cost;
    #[doc = include_str!("../docs/src/extending/dataset.md")]
    struct Dataset;
    #[doc = include_str!("../docs/src/extending/model.md")]
    struct Model;
    #[doc = include_str!("../docs/src/extending/operator.md")]
    struct Operator;
    #[doc = include_str!("../docs/src/extending/quantizer.md")]
    struct Quantizer;
    #[doc = include_str!("../docs/src/extending/sensitivity.md")]
    struct Sensitivity;
    #[doc = include_str!("../docs/src/extending/solver.md")]
    struct Solver;
    #[doc = include_str!("../docs/src/extending/stage.md")]
    struct Stage;
}
