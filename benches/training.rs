//! Joint training, fine-tuning and evaluation of a whole network, in images per second, compared with PyTorch.
//!
//! ```text
//! LIMPQ_PYTHON=.venv/bin/python cargo bench --bench training [-- --device libtorch] [--model resnet18] [--input 3x64x64]
//!     [--classes 10] [--batch 4] [--steps 5] [--rounds 5] [--arithmetic bfloat16] [--gradient-checkpointing]
//!     [--json FILE] [--machine TEXT] [--commit TEXT]
//! ```
//!
//! Our side does what a run does: images from memory, all passes of a step, the optimizer, the observer.
//! `benches/training.py` is PyTorch's side. They take turns; each turn gives the median of its steps after a warm-up
//! step, and the table has the median, minimum and maximum of the turns. Joint training counts images x passes. With
//! bfloat16 PyTorch trains under autocast in channels-last layout, and both evaluate in 32 bits; PyTorch never uses
//! gradient checkpointing. The peak memory of each process is given as well; on a GPU it is the memory in use at the
//! end, on `cuda` including autotuning.

use limpq as _;
use limpq_core::{
    device::Device as Name,
    graph::{Graph, Model, Shape},
    registry,
    search::{BitWidth, Precision, uniform_precisions},
    train::{
        Arithmetic, Augment, Bits, Data, InMemory, Job, Network, NoCheckpoints, Plan, Progress, Quantizer, Recipe,
        State, Step, TrainContext, Update, default_workers,
    },
};
use limpq_plugins::sensitivities::learned_step::Joint;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, env, fs, process::Command, process::exit, sync::Arc, time::Instant};

/// The allocator of the program.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BITS: [u64; 5] = [6, 5, 4, 3, 2];
const KINDS: [&str; 3] = ["joint", "finetune", "evaluate"];

/// Images (and passes) per second.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Rates {
    joint: f64,
    finetune: f64,
    evaluate: f64,
}

impl Rates {
    fn all(self) -> [f64; 3] {
        [self.joint, self.finetune, self.evaluate]
    }
}

/// The output of the script.
#[derive(Deserialize)]
struct Peer {
    #[serde(flatten)]
    rates: Rates,
    /// Peak memory of the process.
    peak_mib: f64,
}

/// Peak memory of this process, from Linux.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Memory in use on a GPU, by any process; `None` on other devices.
fn gpu_mib(device: Name) -> Option<f64> {
    let (Name::Cuda(number) | Name::LibtorchCuda(number)) = device else { return None };
    let query = [&format!("--id={number}"), "--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The end of each step.
#[derive(Default)]
struct Clock(RefCell<Vec<Instant>>);

impl Progress for Clock {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
    fn step(&self, _: &Step) {
        self.0.borrow_mut().push(Instant::now());
    }
}

/// What is measured.
struct Subject {
    graph: Arc<Graph>,
    quantizer: Arc<dyn Quantizer>,
    data: Data,
    batch: usize,
    steps: usize,
    device: burn::tensor::Device,
    arithmetic: Arithmetic,
    gradient_checkpointing: bool,
}

impl Subject {
    fn measure(&self) -> Rates {
        let layers = self.graph.layers();
        let fixed: Vec<bool> = layers.iter().map(|layer| layer.fixed).collect();
        let precisions: Vec<Precision> = uniform_precisions(BITS.map(bits)).collect();
        let slots = fixed.iter().map(|&fixed| if fixed { vec![] } else { precisions.clone() }).collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let (_, seconds) = self.trained(slots, &mut |_| Joint::default().passes(&precisions, &fixed, &mut random));
        let joint = (self.batch * (BITS.len() + 1)) as f64 / seconds;
        let own: Bits = fixed.iter().map(|&fixed| Precision::uniform(if fixed { 8 } else { 4 }).ok()).collect();
        let slots = own.iter().map(|bits| bits.iter().copied().collect()).collect();
        let (network, seconds) = self.trained(slots, &mut |_| vec![own.clone()]);
        let finetune = self.batch as f64 / seconds;
        let clock = Clock::default();
        let bench = self.bench(&clock);
        let images: Vec<usize> = (0..self.batch).collect();
        let seconds = (0..=self.steps).map(|_| {
            let start = Instant::now();
            bench.evaluate_on(&network, &own, &self.data.train, &images).expect("images in memory can be read");
            start.elapsed().as_secs_f64()
        });
        let seconds: Vec<f64> = seconds.skip(1).collect();
        Rates { joint, finetune, evaluate: self.batch as f64 / median(seconds) }
    }

    /// A network after some steps, and the median seconds of one.
    fn trained(&self, slots: Vec<Vec<Precision>>, passes: &mut dyn FnMut(usize) -> Vec<Bits>) -> (Network, f64) {
        let clock = Clock::default();
        let bench = self.bench(&clock);
        let plan = Plan::new(self.graph.clone(), slots, self.quantizer.clone());
        let state = State::random(&self.graph, 0);
        let start = Network::new(&plan, &state, &self.device).expect("the state is the model's");
        let calibrated = start.calibrate(bench.first_batch(self.batch).expect("images in memory can be read")).state();
        let network = Network::new(&plan, &calibrated, &self.device.clone().autodiff()).expect("the same model's");
        // The images are noise, and larger steps would make the step sizes of an untrained network diverge.
        let recipe = Recipe {
            epochs: 1,
            batch_size: self.batch,
            learning_rate: 1e-6,
            arithmetic: self.arithmetic,
            gradient_checkpointing: self.gradient_checkpointing,
            ..Recipe::default()
        };
        let job = Job { stage: "bench", label: "bench", recipe: &recipe, teacher: &state, update: Update::default() };
        let trained = bench.fit(&job, network, passes).expect("a few steps of training");
        let times = clock.0.into_inner();
        let seconds = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        (trained.network, median(seconds))
    }

    fn bench<'a>(&'a self, clock: &'a Clock) -> TrainContext<'a> {
        TrainContext {
            data: &self.data,
            device: &self.device,
            others: &[],
            seed: 0,
            workers: default_workers(),
            progress: clock,
            cancel: None,
            checkpoints: &NoCheckpoints,
        }
    }
}

fn bits(number: u64) -> BitWidth {
    BitWidth::new(number).expect("a bit-width")
}

/// Noise, enough images for a warm-up step and the measured ones.
fn data(shape: Shape, classes: usize, images: usize) -> Data {
    let pixel = |place: usize| (place.wrapping_mul(2_654_435_761) >> 13) as u8;
    let train = InMemory {
        shape,
        pixels: (0..images * shape.elements()).map(pixel).collect(),
        labels: (0..images).map(|image| (image % classes.min(256)) as u8).collect(),
        mean: vec![127.5; shape.channels],
        deviation: vec![73.6; shape.channels],
        augment: Augment::default(),
    };
    let train = Arc::new(train);
    Data { shape, classes, train: train.clone(), validation: None, test: train, remarks: vec![] }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The value after a flag, or a default.
fn argument<T: std::str::FromStr<Err: ToString>>(flag: &str, default: &str) -> T {
    let mut arguments = env::args().skip_while(|argument| argument != flag);
    let text = arguments.next().and_then(|_| arguments.next()).unwrap_or_else(|| default.to_owned());
    text.parse().unwrap_or_else(|error: T::Err| stop(format!("{flag} {text}: {}", error.to_string())))
}

fn stop(message: impl ToString) -> ! {
    eprintln!("{}", message.to_string());
    exit(2)
}

/// Also called by `gpu.rs`.
pub fn main() {
    let Ok(python) = env::var("LIMPQ_PYTHON") else {
        println!("set LIMPQ_PYTHON to a Python with torch and torchvision; nothing is measured");
        return;
    };
    let (device, model): (Name, String) = (argument("--device", "flex"), argument("--model", "resnet20"));
    let (input, classes): (Shape, usize) = (argument("--input", "3x32x32"), argument("--classes", "10"));
    let (batch, steps, rounds): (usize, usize, usize) =
        (argument("--batch", "16"), argument("--steps", "3"), argument("--rounds", "5"));
    let before = gpu_mib(device);
    let network = registry::build::<dyn Model>(&model, &toml::Table::new()).unwrap_or_else(|error| stop(error));
    let subject = Subject {
        graph: Arc::new(network.graph(input, classes).unwrap_or_else(|error| stop(error))),
        quantizer: registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).expect("it is registered").into(),
        data: data(input, classes, batch * (steps + 1)),
        batch,
        steps,
        device: device.open().unwrap_or_else(|error| stop(error)),
        arithmetic: match argument::<String>("--arithmetic", "float32").as_str() {
            "float32" => Arithmetic::Float32,
            "bfloat16" => Arithmetic::BFloat16,
            other => stop(format!("--arithmetic {other}: float32 or bfloat16")),
        },
        gradient_checkpointing: env::args().any(|argument| argument == "--gradient-checkpointing"),
    };
    let theirs = || -> Peer {
        let place = device.to_string();
        let place = if place.contains("cuda") { place.trim_start_matches("libtorch:") } else { "cpu" };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/training.py");
        let numbers = [classes, batch, steps].map(|number| number.to_string());
        let arithmetic = if subject.arithmetic == Arithmetic::BFloat16 { "bfloat16" } else { "float32" };
        let output = Command::new(&python)
            .args([script, &model, &input.to_string(), &numbers[0], &numbers[1], &numbers[2], place, arithmetic])
            .output()
            .unwrap_or_else(|error| stop(format!("{python}: {error}")));
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| stop(said))
    };
    let (mut ours, mut peers, mut memory, mut held) = (vec![], vec![], vec![], None);
    for turn in 1..=rounds {
        // Printed at once, in case the bench is stopped early.
        let say = |who: &str, rates: &Rates| eprintln!("turn {turn}, {who}: {:.1?}", rates.all());
        ours.push(subject.measure());
        say("limpq", &ours[turn - 1]);
        held = before.and_then(|before| Some(gpu_mib(device)? - before));
        let peer = theirs();
        say("PyTorch", &peer.rates);
        peers.push(peer.rates);
        memory.push(peer.peak_mib);
    }
    let ours_mib = if matches!(device, Name::Cuda(_) | Name::LibtorchCuda(_)) { held } else { peak_mib() };
    let memory = (ours_mib, median(memory));
    println!(
        "{model} {input}, batch {batch}, {device}: images (x passes) per second, median of {rounds} (least to most)\n"
    );
    println!("| | limpq | PyTorch eager | ratio |\n|---|---|---|---|");
    for (place, kind) in KINDS.into_iter().enumerate() {
        let of = |rates: &[Rates]| -> Vec<f64> { rates.iter().map(|rates| rates.all()[place]).collect() };
        let shown = |rates: &[Rates]| {
            let numbers = of(rates);
            let (least, most) =
                (numbers.iter().copied().fold(f64::MAX, f64::min), numbers.iter().copied().fold(0.0, f64::max));
            format!("{:.1} ({least:.1} to {most:.1})", median(numbers))
        };
        let ratio = median(of(&ours)) / median(of(&peers));
        println!("| {kind} | {} | {} | {ratio:.2} |", shown(&ours), shown(&peers));
    }
    if let (Some(ours), theirs) = memory {
        println!("| peak memory, MiB | {ours:.0} | {theirs:.0} | {:.2} |", ours / theirs);
    }
    let file: String = argument("--json", "");
    if !file.is_empty() {
        let text = serde_json::json!({
            "model": model, "input": input.to_string(), "batch": batch, "device": device, "steps": steps,
            "arithmetic": subject.arithmetic, "gradient_checkpointing": subject.gradient_checkpointing,
            "machine": argument::<String>("--machine", ""), "commit": argument::<String>("--commit", ""),
            "limpq": ours, "pytorch": peers,
            "peak_mib": {"limpq": memory.0, "pytorch": memory.1},
        });
        let text = serde_json::to_string_pretty(&text).expect("numbers and names");
        fs::write(&file, text + "\n").unwrap_or_else(|error| stop(format!("{file}: {error}")));
    }
}
