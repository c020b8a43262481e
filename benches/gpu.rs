//! The benches that `benches/gpu.sh` runs on a machine with a GPU, as one program: most of it is the compiler of GPU
//! kernels, which both need. `gpu training ...` and `gpu operations ...` are those benches with their arguments.

#[path = "operations.rs"]
mod operations;
#[path = "training.rs"]
mod training;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("operations") => operations::main(),
        Some("training") => training::main(),
        _ => println!("gpu.sh says what to run; by themselves there are the benches operations and training"),
    }
}
