//! The program `limpq` with two more costs.

// A crate that is linked but never named is dropped by the linker, and its plugins with it.
use own_cost as _;

fn main() -> std::process::ExitCode {
    limpq::commands::main()
}
