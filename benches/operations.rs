//! Fake quantization by its fused kernel against its composition of burn's operations, forward alone and with the backward
//! pass: medians of runs that take turns, so that whatever else the machine does meets all alike.
//!
//! ```text
//! cargo bench --bench operations [-- --device libtorch] [--rounds 30] [--json FILE]
//! ```
//!
//! A backward pass needs a loss. The time of the same loss without quantization is taken in the same turns and subtracted. A
//! forward pass must read and write 4 bytes for each value, a backward pass read 8 and write 4; the bandwidth is that over the
//! time. Copying is what the memory gives at best.

use burn::tensor::{Device, Distribution, Tensor};
use limpq as _;
use limpq_core::{
    registry,
    run::Device as Name,
    search::BitWidth,
    train::{Grid, Quantizer, Role},
};
use serde::Serialize;
use std::{env, fs, hint::black_box, process::exit, time::Instant};

/// Name, rows, values in each, what it is.
const TENSORS: [(&str, usize, usize, Role); 4] = [
    ("activations, 4 x 64 x 56 x 56", 1, 4 * 64 * 56 * 56, Role::Act),
    ("activations, 4 x 256 x 14 x 14", 1, 4 * 256 * 14 * 14, Role::Act),
    ("weights, 512 x 512 x 3 x 3", 1, 512 * 512 * 9, Role::Weight),
    ("weights by channel, 512 x 512 x 3 x 3", 512, 512 * 9, Role::Weight),
];
const QUANTIZERS: [&str; 2] = ["lsq", "lsq_plus"];

/// One row of the table.
#[derive(Serialize)]
struct Measured {
    quantizer: &'static str,
    tensor: &'static str,
    pass: &'static str,
    composed_ms: f64,
    fused_ms: f64,
    /// How many times as long the composition takes.
    ratio: f64,
    fused_gigabytes_per_second: f64,
    copy_gigabytes_per_second: f64,
}

struct Bench {
    device: Device,
    rounds: usize,
}

impl Bench {
    /// Median milliseconds of each, all in every round.
    fn medians(&self, works: [&mut dyn FnMut(); 3]) -> [f64; 3] {
        let mut times: [Vec<f64>; 3] = Default::default();
        for round in 0..self.rounds + 2 {
            // Another begins in each round: what runs next finds the caches and the heap as the one before left them.
            for place in (0..3).map(|place| (place + round) % 3) {
                let start = Instant::now();
                works[place]();
                self.device.sync().expect("the device works");
                // The first two rounds warm up.
                if round >= 2 {
                    times[place].push(1e3 * start.elapsed().as_secs_f64());
                }
            }
        }
        times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
    }

    fn measure(
        &self,
        quantizer: &'static str,
        (tensor, rows, elements, role): (&'static str, usize, usize, Role),
    ) -> [Measured; 2] {
        let build = |kernel: &str| {
            let options = format!("kernel = {kernel:?}\nper_channel = {}", rows > 1);
            registry::build::<dyn Quantizer>(quantizer, &options.parse().expect("options"))
                .expect("it has these options")
        };
        let [composed, fused] = ["composed", "fused"].map(build);
        let grid = Grid { bits: BitWidth::new(4).expect("4 is a bit-width"), signed: role == Role::Weight };
        let range = if grid.signed { -1.0 } else { 0.0 };
        let values = Tensor::<2>::random([rows, elements], Distribution::Uniform(range, 1.0), &self.device);
        let parameters = fused.start(role, values.clone(), grid);

        let forward = |quantizer: &dyn Quantizer| {
            black_box(quantizer.quantize(role, values.clone(), &parameters, grid));
        };
        let mut copy = || drop(black_box(values.clone().add_scalar(1.0)));
        let [copied, slow, fast] = self.medians([&mut copy, &mut || forward(&*composed), &mut || forward(&*fused)]);
        let gigabytes = |bytes: usize, ms: f64| 1e-6 * (rows * elements * bytes) as f64 / ms;
        let copy_gigabytes_per_second = gigabytes(8, copied);
        let measured = |pass, composed_ms: f64, fused_ms: f64, bytes| Measured {
            quantizer,
            tensor,
            pass,
            composed_ms,
            fused_ms,
            ratio: composed_ms / fused_ms,
            fused_gigabytes_per_second: gigabytes(bytes, fused_ms),
            copy_gigabytes_per_second,
        };
        let alone = measured("forward", slow, fast, 8);

        let tracking = self.device.clone().autodiff();
        let tracked = Tensor::<2>::from_data(values.to_data(), &tracking).require_grad();
        let learned = parameters.iter().map(|p| Tensor::<1>::from_data(p.to_data(), &tracking).require_grad());
        let learned: Vec<Tensor<1>> = learned.collect();
        let slopes = Tensor::<2>::random([rows, elements], Distribution::Uniform(-1.0, 1.0), &tracking);
        let back = |output: Tensor<2>| drop(black_box((output * slopes.clone()).sum().backward()));
        let both = |quantizer: &dyn Quantizer| back(quantizer.quantize(role, tracked.clone(), &learned, grid));
        let [loss, slow, fast] =
            self.medians([&mut || back(tracked.clone()), &mut || both(&*composed), &mut || both(&*fused)]);
        [alone, measured("forward and backward", slow - loss, fast - loss, 20)]
    }
}

/// The value after a flag.
fn argument(flag: &str) -> Option<String> {
    let mut arguments = env::args().skip_while(|argument| argument != flag);
    arguments.next().and_then(|_| arguments.next())
}

fn stop(message: impl ToString) -> ! {
    eprintln!("{}", message.to_string());
    exit(2)
}

fn main() {
    let name: Name =
        argument("--device").map_or(Ok(Name::Flex), |name| name.parse()).unwrap_or_else(|error| stop(error));
    let rounds = argument("--rounds").map_or(Ok(30), |rounds| rounds.parse()).unwrap_or_else(|error| stop(error));
    let bench = Bench { device: name.open().unwrap_or_else(|error| stop(error)), rounds };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("device {name}, {threads} processors, medians of {rounds}\n");
    println!("| quantizer | tensor | pass | composed, ms | fused, ms | times | fused, GB/s | copying, GB/s |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut all = vec![];
    for quantizer in QUANTIZERS {
        // The weights of lsq_plus are those of lsq.
        for tensor in TENSORS.into_iter().filter(|tensor| quantizer == "lsq" || tensor.3 == Role::Act) {
            for row in bench.measure(quantizer, tensor) {
                println!(
                    "| {} | {} | {} | {:.3} | {:.3} | {:.1} | {:.1} | {:.1} |",
                    row.quantizer,
                    row.tensor,
                    row.pass,
                    row.composed_ms,
                    row.fused_ms,
                    row.ratio,
                    row.fused_gigabytes_per_second,
                    row.copy_gigabytes_per_second
                );
                all.push(row);
            }
        }
    }
    if let Some(file) = argument("--json") {
        let text = serde_json::json!({ "device": name, "processors": threads, "rounds": rounds, "measured": all });
        let text = serde_json::to_string_pretty(&text).expect("numbers and names");
        fs::write(&file, text + "\n").unwrap_or_else(|error| stop(format!("{file}: {error}")));
    }
}
