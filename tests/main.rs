//! Tests of what trains, one program so that they link once. Those of the search half are in `search/`.

// Registers the plugins.
use limpq as _;

mod book;
mod configs;
mod contracts;
mod dampening;
mod data_sets;
mod devices;
mod evaluation;
mod faults;
mod fixtures;
mod folders;
mod fused;
mod fuzz_seeds;
mod interrupts;
mod kernels;
mod licences;
mod limpq_start;
mod non_finite;
mod observers;
mod onnx;
mod operators;
mod parity;
mod photographs;
mod provenance;
mod quantizers;
mod recipes;
mod registration;
mod resume;
mod runs;
mod schedules;
mod sensitivities;
mod stages;
mod step_sizes;
mod study;
mod synthetic;
mod system;
mod tampering;
mod torchvision;
mod transformers;
mod weights;
