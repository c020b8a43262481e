//! Stages of a run beside the built-in ones. A config asks for one with a section `[stages.NAME]`.

mod layer_table;

pub use layer_table::LayerTable;
