//! `metrics.jsonl` in a run's folder: a line of JSON for each optimizer step, each validation and each snapshot of the
//! step sizes.
//!
//! A resumed stage repeats the steps after its checkpoint, so lines beyond it are removed first. Lines are written to
//! the disk before a checkpoint is kept. Thus each step has exactly one line in the end, however often a run was
//! killed.

use super::tell;
use limpq_core::{
    input,
    store::artifact,
    train::{Progress, Step, StepSize, Validation},
};
use serde::{Deserialize, Serialize};
use std::{
    cell::{Cell, RefCell},
    fs::{self, File, Metadata},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The file's name.
pub const NAME: &str = "metrics.jsonl";

/// A line. It has one of `passes`, `validation` and `step_sizes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The stage, as people see it.
    pub stage: String,
    /// Steps of the stage that are done.
    pub step: usize,
    /// The epoch, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<usize>,
    /// The learning rate of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Images in its batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// Its passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<Pass>,
    /// A measurement on the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Measured>,
    /// The step sizes after the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_sizes: Vec<Size>,
    /// When it was written, in seconds since 1970. All other fields are the same when a run is repeated.
    pub time: f64,
}

/// One forward and backward pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// `w4a4` if all searched layers share these bits, else `mixed` or `full precision`.
    pub bits: String,
    /// Its loss on the batch.
    pub loss: f32,
    /// Fraction of the batch that is classified correctly.
    pub accuracy: f64,
}

/// A measurement on the validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Fraction of images whose largest logit is that of their class (top-1 accuracy).
    pub accuracy: f64,
    /// Fraction of images whose class is among the five largest logits (top-5 accuracy).
    pub top5: f64,
    /// Mean loss; `None` if it is not finite.
    pub loss: Option<f64>,
    /// Number of images.
    pub images: usize,
    /// Whether no earlier epoch was as good.
    pub best: bool,
}

/// The step size of a tensor at a bit-width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// The layer.
    pub layer: String,
    /// `weight` or `act`.
    pub tensor: String,
    /// The bit-width.
    pub bits: u64,
    /// The step size; `None` if it is not finite.
    pub value: Option<f64>,
}

impl From<&Step> for Record {
    fn from(step: &Step) -> Self {
        let passes = step.passes.iter();
        let passes = passes.map(|pass| Pass { bits: pass.bits.clone(), loss: pass.loss, accuracy: pass.accuracy });
        Self {
            step: step.done,
            epoch: Some(step.epoch),
            learning_rate: Some(step.learning_rate),
            images: Some(step.images),
            passes: passes.collect(),
            ..Self::default()
        }
    }
}

impl From<&Validation> for Record {
    fn from(validation: &Validation) -> Self {
        let Validation { done, epoch, score, best } = *validation;
        let loss = score.loss.is_finite().then_some(score.loss);
        let measured = Measured { accuracy: score.accuracy, top5: score.top5, loss, images: score.images, best };
        Self { step: done, epoch: Some(epoch), validation: Some(measured), ..Self::default() }
    }
}

impl From<(usize, &[StepSize])> for Record {
    fn from((step, sizes): (usize, &[StepSize])) -> Self {
        let size = |size: &StepSize| Size {
            layer: size.layer.clone(),
            tensor: size.role.name().to_owned(),
            bits: size.bits.get(),
            value: size.value.is_finite().then_some(size.value),
        };
        Self { step, step_sizes: sizes.iter().map(size).collect(), ..Self::default() }
    }
}

/// The content of a line; `None` if it is not a record.
pub type Line = Option<Box<Record>>;

/// Longer lines are not records, and are not read as a whole.
const LONGEST: u64 = 16 << 20;

/// The lines of a run's file. A last line without a line break is left out: it is being written, or its writer was
/// killed.
///
/// # Errors
/// When the file cannot be opened or read, or is not a regular file.
pub fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Line>> + use<>> {
    regular(&fs::metadata(path)?)?;
    let (mut file, mut line) = (BufReader::new(File::open(path)?), vec![]);
    Ok(std::iter::from_fn(move || {
        line.clear();
        match file.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Err(error) => return Some(Err(error)),
            Ok(0) => return None,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            return Some(Ok(serde_json::from_slice(input::unmarked(&line)).ok()));
        }
        match file.skip_until(b'\n') {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => Some(Ok(None)),
        }
    }))
}

/// Refuses files that may have no end or block for ever.
fn regular(file: &Metadata) -> io::Result<()> {
    let odd = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    if file.is_file() { Ok(()) } else { Err(odd()) }
}

/// Writes the file.
pub struct Metrics {
    path: PathBuf,
    open: RefCell<Option<Open>>,
    warned: Cell<bool>,
}

impl Metrics {
    /// For the run in a folder, which need not be there before the first stage starts.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(NAME), open: RefCell::default(), warned: Cell::new(false) }
    }

    fn write(&self, record: Record) {
        if let Some(open) = self.open.borrow_mut().as_mut() {
            open.add(record);
            if open.flushed.elapsed() > Open::EVERY {
                self.check(open.flush());
            }
        }
    }

    /// Metrics are worth less than a run: on an error the run continues without them.
    fn check(&self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.warned.replace(true)
        {
            let path = self.path.display();
            tell(&format!("warning: cannot write {path}: {error}; the run continues, but lines are missing there"));
        }
    }
}

impl Progress for Metrics {
    fn start(&self, label: &str, _: usize, done: usize) {
        let open = cut(&self.path, label, done).and_then(|()| Open::new(&self.path, label));
        self.check(open.map(|open| drop(self.open.replace(Some(open)))));
    }

    fn step(&self, step: &Step) {
        self.write(step.into());
    }

    fn validated(&self, validation: &Validation) {
        self.write(validation.into());
    }

    fn step_sizes(&self, step: usize, sizes: &[StepSize]) {
        if !sizes.is_empty() {
            self.write((step, sizes).into());
        }
    }

    fn saving(&self) {
        if let Some(open) = self.open.borrow_mut().as_mut() {
            self.check(open.flush().and_then(|()| open.file.sync_data()));
        }
    }

    fn finish(&self) {
        self.saving();
        self.open.take();
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The file while a stage is trained.
struct Open {
    stage: String,
    file: File,
    /// Bytes of whole lines that are in it.
    length: u64,
    /// Lines that are not.
    pending: Vec<u8>,
    flushed: Instant,
}

impl Open {
    /// Often enough for those who follow the file, and rarely enough to cost nothing.
    const EVERY: Duration = Duration::from_secs(1);

    fn new(path: &Path, stage: &str) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { stage: stage.to_owned(), file, length, pending: vec![], flushed: Instant::now() })
    }

    fn add(&mut self, record: Record) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record { stage: self.stage.clone(), time: since.as_millis() as f64 / 1e3, ..record };
        serde_json::to_writer(&mut self.pending, &record).expect("memory holds plain data");
        self.pending.push(b'\n');
    }

    /// Writes either all pending lines or none; in the latter case they stay pending.
    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        if let Err(error) = self.file.write_all(&self.pending) {
            // If this fails too, half a line stays in the file; readers skip it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Removes the lines of a stage after a step, and incomplete lines. Refuses links, so that nothing outside the folder
/// is written.
fn cut(path: &Path, stage: &str, done: usize) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Place {
        stage: String,
        step: usize,
    }
    match fs::symlink_metadata(path) {
        Ok(found) => regular(&found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let file = File::open(path)?;
    let (mut lines, mut line) = (BufReader::new(file), vec![]);
    // Length of the lines before the first removed one, and the lines after it that stay.
    let (mut before, mut after, mut going) = (0, vec![], false);
    while {
        line.clear();
        lines.read_until(b'\n', &mut line)? > 0
    } {
        let place = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Place>(line).ok());
        match place.is_some_and(|place| place.stage != stage || place.step <= done) {
            false => going = true,
            true if going => after.extend_from_slice(&line),
            true => before += line.len() as u64,
        }
    }
    match (going, after.is_empty()) {
        (false, _) => Ok(()),
        (true, true) => File::options().write(true).open(path)?.set_len(before),
        (true, false) => {
            let mut kept = fs::read(path)?;
            kept.truncate(before as usize);
            kept.extend(after);
            artifact::write(path, &kept).map_err(|error| error.error)
        }
    }
}

#[cfg(test)]
mod tests;
