//! Integration tests, one program so that they link once.

// Registers the plugins.
use limpq as _;

mod answers;
mod command_line;
mod contracts;
mod fixtures;
mod front;
mod house;
mod licences;
mod limpq_reference;
mod readme;
mod runs;
mod torchvision;
