//! Our operations against what burn makes of its own, forward alone and with the backward pass: medians of runs that take turns,
//! so that whatever else the machine does meets all alike.
//!
//! ```text
//! cargo bench --bench operations [-- --device libtorch] [--rounds 30] [--json FILE]
//! ```
//!
//! A backward pass needs a loss. The time of the same loss without the operation is taken in the same turns and subtracted. The
//! rate is the least that must be moved or computed over the time. Of each value 4 bytes are read or written: fake quantization
//! reads and writes forward (8), and reads two and writes one backward (12); batch-norm reads twice and writes forward (12), and
//! reads four and writes one backward (20). A convolution multiplies and adds as often backward as forward, for each of its two
//! gradients. Copying is what the memory gives at best.

use burn::tensor::{
    Device, Distribution, Tensor,
    module::{batch_norm_train, conv2d},
    ops::ConvOptions,
};
use limpq as _;
use limpq_core::{
    device::Device as Name,
    registry,
    search::BitWidth,
    train::{
        Grid, Quantizer, Role,
        kernels::{Window, batch_norm, convolution},
    },
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
/// Images, channels, height and width.
const IMAGES: [[usize; 4]; 2] = [[4, 64, 56, 56], [4, 256, 14, 14]];
/// The same, with the kernel's width and the groups; as many channels come out.
const CONVOLUTIONS: [([usize; 4], usize, usize); 4] =
    [([4, 64, 56, 56], 3, 1), ([4, 256, 14, 14], 3, 1), ([4, 256, 14, 14], 1, 1), ([4, 256, 14, 14], 3, 256)];

/// One row of the table.
#[derive(Serialize)]
struct Measured {
    operation: String,
    tensor: String,
    pass: &'static str,
    burn_ms: f64,
    ours_ms: f64,
    /// How many times as long burn's takes.
    ratio: f64,
    /// Of ours.
    rate: f64,
    unit: &'static str,
}

/// What an operation must do.
struct Work {
    operation: String,
    tensor: String,
    /// Bytes or operations, forward and in both directions.
    amounts: [f64; 2],
    /// Of a billion of them in a second.
    unit: &'static str,
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

    fn random<const D: usize>(&self, shape: [usize; D], low: f64) -> Tensor<D> {
        Tensor::random(shape, Distribution::Uniform(low, 1.0), &self.device)
    }

    /// The same numbers, with gradients.
    fn tracked<const D: usize>(&self, tensor: &Tensor<D>) -> Tensor<D> {
        Tensor::from_data(tensor.to_data(), &self.device.clone().autodiff()).require_grad()
    }

    /// Times an operation on inputs, without and with gradients. The output has the shape of the first input of dimension D.
    fn compare<const D: usize, I>(
        &self,
        work: Work,
        [plain, tracked]: [I; 2],
        like: Tensor<D>,
        burn: impl Fn(&I) -> Tensor<D>,
        ours: impl Fn(&I) -> Tensor<D>,
    ) -> [Measured; 2] {
        let [_, slow, fast] =
            self.medians([&mut || (), &mut || drop(black_box(burn(&plain))), &mut || drop(black_box(ours(&plain)))]);
        let measured = |place: usize, burn_ms: f64, ours_ms: f64| Measured {
            operation: work.operation.clone(),
            tensor: work.tensor.clone(),
            pass: ["forward", "forward and backward"][place],
            burn_ms,
            ours_ms,
            ratio: burn_ms / ours_ms,
            rate: 1e-6 * work.amounts[place] / ours_ms,
            unit: work.unit,
        };
        let alone = measured(0, slow, fast);
        let slopes = Tensor::<D>::random(like.dims(), Distribution::Uniform(-1.0, 1.0), &like.device());
        let back = |output: Tensor<D>| drop(black_box((output * slopes.clone()).sum().backward()));
        let [loss, slow, fast] =
            self.medians([&mut || back(like.clone()), &mut || back(burn(&tracked)), &mut || back(ours(&tracked))]);
        [alone, measured(1, slow - loss, fast - loss)]
    }

    fn quantizer(
        &self,
        name: &'static str,
        (tensor, rows, elements, role): (&str, usize, usize, Role),
    ) -> [Measured; 2] {
        let build = |kernel: &str| {
            let options = format!("kernel = {kernel:?}\nper_channel = {}", rows > 1);
            registry::build::<dyn Quantizer>(name, &options.parse().expect("options")).expect("it has these options")
        };
        let [composed, fused] = ["composed", "fused"].map(build);
        let grid = Grid { bits: BitWidth::new(4).expect("4 is a bit-width"), signed: role == Role::Weight };
        let values = self.random([rows, elements], if grid.signed { -1.0 } else { 0.0 });
        let parameters = fused.init(role, values.clone(), grid);
        let learned: Vec<Tensor<1>> = parameters.iter().map(|numbers| self.tracked(numbers)).collect();
        let (tracked, count) = (self.tracked(&values), (rows * elements) as f64);
        let work = Work {
            operation: name.to_owned(),
            tensor: tensor.to_owned(),
            amounts: [8.0 * count, 20.0 * count],
            unit: "GB/s",
        };
        let of = |quantizer: &dyn Quantizer, (values, parameters): &(Tensor<2>, Vec<Tensor<1>>)| {
            quantizer.quantize(role, values.clone(), parameters, grid)
        };
        self.compare(
            work,
            [(values, parameters), (tracked.clone(), learned)],
            tracked,
            |inputs| of(&*composed, inputs),
            |inputs| of(&*fused, inputs),
        )
    }

    fn batch_norm(&self, shape: [usize; 4]) -> [Measured; 2] {
        let input = self.random(shape, -1.0);
        let [gamma, beta] = [self.random([shape[1]], 0.5), self.random([shape[1]], -1.0)];
        let tracked = self.tracked(&input);
        let learned = [self.tracked(&gamma), self.tracked(&beta)];
        let count = shape.iter().product::<usize>() as f64;
        let work = Work {
            operation: "batch-norm".to_owned(),
            tensor: format!("activations, {}", shape.map(|size| size.to_string()).join(" x ")),
            amounts: [12.0 * count, 32.0 * count],
            unit: "GB/s",
        };
        self.compare(
            work,
            [(input, [gamma, beta]), (tracked.clone(), learned)],
            tracked,
            |(input, [gamma, beta])| batch_norm_train(input.clone(), gamma.clone(), beta.clone(), 1e-5).output,
            |(input, [gamma, beta])| batch_norm(input.clone(), gamma.clone(), beta.clone(), 1e-5).output,
        )
    }

    fn convolution(&self, (shape, width, groups): ([usize; 4], usize, usize)) -> [Measured; 2] {
        let [batch, channels, height, across] = shape;
        let (input, kernel) =
            (self.random(shape, -1.0), self.random([channels, channels / groups, width, width], -1.0));
        let window = Window::square(1, width / 2, groups);
        let tracked = [self.tracked(&input), self.tracked(&kernel)];
        let count = 2.0 * (batch * channels * height * across * (channels / groups) * width * width) as f64;
        let kind = if groups > 1 { ", depthwise" } else { "" };
        let work = Work {
            operation: format!("convolution, {width} x {width}{kind}"),
            tensor: format!("images, {}", shape.map(|size| size.to_string()).join(" x ")),
            amounts: [count, 3.0 * count],
            unit: "GFLOP/s",
        };
        let like = tracked[0].clone();
        self.compare(
            work,
            [[input, kernel], tracked],
            like,
            |[input, kernel]| {
                let options = ConvOptions::new([1, 1], [width / 2; 2], [1, 1], groups);
                conv2d(input.clone(), kernel.clone(), None, options)
            },
            |[input, kernel]| convolution(input.clone(), kernel.clone(), window),
        )
    }

    /// Gigabytes that copying moves in a second.
    fn copying(&self) -> f64 {
        let values = self.random([4 * 64 * 56 * 56], -1.0);
        let mut copy = || drop(black_box(values.clone().add_scalar(1.0)));
        let [milliseconds, ..] = self.medians([&mut copy, &mut || (), &mut || ()]);
        1e-6 * (8 * values.dims()[0]) as f64 / milliseconds
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

/// Called by `gpu.rs` as well.
pub fn main() {
    let name: Name =
        argument("--device").map_or(Ok(Name::Flex), |name| name.parse()).unwrap_or_else(|error| stop(error));
    let rounds = argument("--rounds").map_or(Ok(30), |rounds| rounds.parse()).unwrap_or_else(|error| stop(error));
    let bench = Bench { device: name.open().unwrap_or_else(|error| stop(error)), rounds };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let copying = bench.copying();
    println!("device {name}, {threads} processors, medians of {rounds}; copying moves {copying:.1} GB/s\n");
    println!("| operation | tensor | pass | burn, ms | ours, ms | times | ours |\n|---|---|---|---|---|---|---|");
    let mut all = vec![];
    let mut show = |rows: [Measured; 2]| {
        for row in rows {
            let Measured { operation, tensor, pass, burn_ms, ours_ms, ratio, rate, unit } = &row;
            println!(
                "| {operation} | {tensor} | {pass} | {burn_ms:.3} | {ours_ms:.3} | {ratio:.1} | {rate:.1} {unit} |"
            );
            all.push(row);
        }
    };
    for quantizer in QUANTIZERS {
        // The weights of lsq_plus are those of lsq.
        for tensor in TENSORS.into_iter().filter(|tensor| quantizer == "lsq" || tensor.3 == Role::Act) {
            show(bench.quantizer(quantizer, tensor));
        }
    }
    IMAGES.into_iter().for_each(|shape| show(bench.batch_norm(shape)));
    CONVOLUTIONS.into_iter().for_each(|shape| show(bench.convolution(shape)));
    if let Some(file) = argument("--json") {
        let text = serde_json::json!({
            "device": name, "processors": threads, "rounds": rounds, "copying_gigabytes_per_second": copying, "measured": all,
        });
        let text = serde_json::to_string_pretty(&text).expect("numbers and names");
        fs::write(&file, text + "\n").unwrap_or_else(|error| stop(format!("{file}: {error}")));
    }
}
