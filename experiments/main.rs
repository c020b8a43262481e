//! The program `limpq`: see `limpq --help`.

/// For C++ that is linked as well.
#[cfg(all(feature = "train", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    limpq::commands::main()
}
