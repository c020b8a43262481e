//! Integration tests, one program so that they link once.

// Registers the plugins.
use limpq as _;

mod answers;
mod command_line;
mod configs;
mod constraints;
mod contracts;
mod devices;
mod evaluation;
mod fixtures;
mod folders;
mod formula;
mod front;
mod fused;
mod house;
mod interrupts;
mod latency;
mod licences;
mod limpq_reference;
mod parity;
mod quantizers;
mod readme;
mod recipes;
mod refine;
mod resume;
mod runs;
mod sensitivities;
mod study;
mod torchvision;
mod watch;
mod weights;
