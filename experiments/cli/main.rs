//! The program `limpq`: see `limpq --help`.

/// Feature `override` gives it to libtorch and other C++ in the program, too.
#[cfg(all(feature = "train", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    limpq::commands::main()
}
