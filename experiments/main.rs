//! The program `limpq`: see `limpq --help`.

fn main() -> std::process::ExitCode {
    limpq::commands::main()
}
