//! Tests of the search half: of everything that needs no tensor. They build without the feature `train`, in a minute.

// Registers the plugins.
use limpq as _;

mod analyses;
mod command_output;
mod command_refusals;
mod constraints;
mod error_texts;
#[allow(dead_code, reason = "each of the two programs uses some of them")]
mod fixtures;
mod fronts;
mod infeasible;
mod limpq_names;
mod limpq_reference;
mod measured_latency;
mod onnx_files;
mod refinement;
mod shadow_prices_and_peaks;
mod source_rules;
mod suspicious_indicators;
