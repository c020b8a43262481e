//! Integration tests, one program so that they link once.

// Registers the plugins.
use limpq as _;

mod answers;
mod bad_input;
mod belonging;
mod command_line;
mod configs;
mod constraints;
mod contracts;
mod devices;
mod doubtful;
mod evaluation;
mod faults;
mod finite;
mod fixtures;
mod folders;
mod formula;
mod front;
mod fused;
mod house;
mod infeasible;
mod interrupts;
mod kernels;
mod latency;
mod licences;
mod limpq_names;
mod limpq_reference;
mod limpq_start;
mod oracle;
mod parity;
mod quantizers;
mod readme;
mod recipes;
mod refine;
mod refusals;
mod resume;
mod runs;
mod schedules;
mod sensitivities;
mod step_sizes;
mod study;
mod system;
mod tampering;
mod torchvision;
mod watch;
mod weights;
