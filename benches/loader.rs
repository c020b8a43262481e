//! Images per second that are decoded and augmented for training, compared with torchvision's DataLoader with as many
//! workers on the same files.
//!
//! ```text
//! LIMPQ_PYTHON=.venv/bin/python cargo bench --bench loader [-- WORKERS ...]
//! ```
//!
//! Python needs torchvision; it also writes the photographs. Both sides read the files from the page cache, crop,
//! resize, mirror and normalise, and return batches of 64. They take turns; results are medians of five passes. Ours
//! starts its threads in each pass, as in each epoch of a run, and that time counts; torchvision's worker processes are
//! kept from an earlier pass, so theirs does not.

use limpq as _;
use limpq_core::registry::build;
use limpq_core::train::{Data, Dataset, Loader, Pick, default_workers};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

const IMAGES_PER_CLASS: usize = 250;
const BATCH: NonZeroUsize = NonZeroUsize::new(64).expect("not 0");
const PASSES: u64 = 5;

fn main() -> ExitCode {
    let Ok(python) = std::env::var("LIMPQ_PYTHON") else {
        println!("set LIMPQ_PYTHON to a Python with torchvision; nothing is measured");
        return ExitCode::SUCCESS;
    };
    let folder = tempfile::tempdir().expect("a folder for the photographs");
    let script = |arguments: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/loader.py");
        let output = Command::new(&python).arg(script).args(arguments).output().expect("LIMPQ_PYTHON can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let path = folder.path().to_str().expect("a temporary folder's name is UTF-8");
    script(&["make", path, &IMAGES_PER_CLASS.to_string()]);
    let options = toml::Table::from_iter([("folder".to_owned(), path.into())]);
    let dataset = build::<dyn Dataset>("image_folder", &options).expect("it is registered");
    let data = dataset.load().expect("the photographs have just been written");
    let counts: Vec<NonZeroUsize> = std::env::args().skip(1).filter_map(|count| count.parse().ok()).collect();
    let counts =
        if counts.is_empty() { (1..=default_workers().get()).filter_map(NonZeroUsize::new).collect() } else { counts };
    let images = data.train.len();
    println!("{images} JPEGs of 500x375, {} threads, images per second", default_workers());
    println!("{:>7} {:>8} {:>12} {:>6}", "workers", "limpq", "torchvision", "ratio");
    for workers in counts {
        let (mut ours, mut theirs) = (vec![], vec![]);
        pass(&data, workers, PASSES);
        for number in 0..PASSES {
            ours.push(pass(&data, workers, number));
            let printed = script(&["time", path, &workers.to_string(), &BATCH.to_string()]);
            theirs.push(printed.parse::<f64>().expect("the script prints a number"));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{workers:>7} {ours:>8.0} {theirs:>12.0} {:>6.2}", ours / theirs);
    }
    ExitCode::SUCCESS
}

/// One pass over all images, each augmented at random.
fn pass(data: &Data, workers: NonZeroUsize, epoch: u64) -> f64 {
    let all: Vec<usize> = (0..data.train.len()).collect();
    let start = Instant::now();
    let picks = Pick::drawn(&all, epoch);
    let loader = Loader::new(data.train.clone(), data.shape.elements(), picks, BATCH, workers);
    let images: usize = loader.map(|batch| batch.expect("every photograph can be read").labels.len()).sum();
    images as f64 / start.elapsed().as_secs_f64()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
