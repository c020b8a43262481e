//! TensorBoard: event files under `tensorboard/STAGE/` in a run's folder, written by `syntaxdot-summary`.
//!
//! Each start of a stage writes a file of its own, named after the step from which it continues. Events of earlier
//! files beyond that step are cut off, so that each step appears once. There are several files because a TensorBoard
//! that is open meanwhile moves on to the next file, but does not notice that one was cut.

use super::{own_folder, stage_file, tell};
use limpq_core::train::{Progress, Step, StepSize, Validation};
use prost::Message;
use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};
use syntaxdot_summary::SummaryWriter;

/// The folder's name.
pub const NAME: &str = "tensorboard";
/// Start of the file names by which TensorBoard recognises event files.
const START: &str = "events.out.tfevents.";

/// Writes event files.
pub struct TensorBoard {
    folder: PathBuf,
    open: RefCell<Option<Open>>,
    warned: Cell<bool>,
}

struct Open {
    events: SummaryWriter<Unflushed>,
    file: Rc<RefCell<BufWriter<File>>>,
}

impl TensorBoard {
    /// For the run in a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.join(NAME), open: RefCell::default(), warned: Cell::new(false) }
    }

    fn write(&self, step: usize, scalars: impl IntoIterator<Item = (String, f64)>) {
        let mut scalars = scalars.into_iter();
        let step = step as i64;
        // TensorBoard stores values in single precision.
        self.attempt(|open| scalars.try_for_each(|(tag, value)| open.events.write_scalar(tag, step, value as f32)));
    }

    /// Writes to the stage's file. After an error nothing more is written: half an event would make those after it
    /// unreadable.
    fn attempt(&self, what: impl FnOnce(&mut Open) -> io::Result<()>) {
        let result = self.open.borrow_mut().as_mut().map_or(Ok(()), |open| clock().and_then(|()| what(open)));
        self.check(result);
    }

    /// Event files are worth less than a run: on an error the run continues without them.
    fn check(&self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.open.take();
        if !self.warned.replace(true) {
            let folder = self.folder.display();
            tell(&format!(
                "warning: cannot write event files in {folder}: {error}; the run continues, but events are missing there"
            ));
        }
    }
}

impl Progress for TensorBoard {
    fn start(&self, label: &str, _: usize, done: usize) {
        let odd = || io::Error::new(io::ErrorKind::InvalidInput, format!("{label:?} is not a plain folder name"));
        let open = stage_file(label).ok_or_else(odd).and_then(|stage| Open::new(&self.folder, &stage, done));
        self.check(open.map(|open| drop(self.open.replace(Some(open)))));
    }

    fn step(&self, step: &Step) {
        let tag = |what: &str, bits: &str| format!("{what}/{}", bits.replace(' ', "_"));
        let passes = step.passes.iter().flat_map(|pass| {
            [(tag("loss", &pass.bits), f64::from(pass.loss)), (tag("accuracy", &pass.bits), pass.accuracy)]
        });
        self.write(step.done, passes.chain([("learning_rate".to_owned(), step.learning_rate)]));
    }

    fn validated(&self, validation: &Validation) {
        let score = validation.score;
        let scalars = [("accuracy", score.accuracy), ("top5", score.top5), ("loss", score.loss)];
        self.write(validation.done, scalars.map(|(what, value)| (format!("validation/{what}"), value)));
    }

    fn step_sizes(&self, step: usize, sizes: &[StepSize]) {
        let tag = |size: &StepSize| format!("{}_step_size/{}/{}_bits", size.role.name(), size.layer, size.bits);
        self.write(step, sizes.iter().map(|size| (tag(size), size.value)));
    }

    fn saving(&self) {
        self.attempt(|open| open.file.borrow_mut().flush());
    }

    fn finish(&self) {
        self.saving();
        self.open.take();
    }
}

impl Open {
    fn new(folder: &Path, stage: &str, done: usize) -> io::Result<Self> {
        own_folder(folder)?;
        let folder = folder.join(stage);
        own_folder(&folder)?;
        cut(&folder, done)?;
        clock()?;
        let file = File::create(folder.join(format!("{START}{done:010}")))?;
        let file = Rc::new(RefCell::new(BufWriter::new(file)));
        Ok(Self { events: SummaryWriter::new(Unflushed(file.clone()))?, file })
    }
}

/// Fails if the clock is before 1970, since the writer would panic then.
fn clock() -> io::Result<()> {
    let early = |_| io::Error::other("the system's clock is before 1970");
    SystemTime::now().duration_since(UNIX_EPOCH).map(drop).map_err(early)
}

/// The writer flushes after each value; this does not.
struct Unflushed(Rc<RefCell<BufWriter<File>>>);

impl Write for Unflushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts off a stage's events after a step, and removes files that only hold such events.
fn cut(folder: &Path, done: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(from) = name.strip_prefix(START).and_then(|from| from.parse::<usize>().ok()) else { continue };
        if from >= done {
            fs::remove_file(&path)?;
            continue;
        }
        if !entry.file_type()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a regular file", path.display()),
            ));
        }
        let bytes = fs::read(&path)?;
        let kept: usize = events(&bytes).take_while(|(event, _)| event.step <= done as i64).map(|(_, size)| size).sum();
        if kept < bytes.len() {
            File::options().write(true).open(&path)?.set_len(kept as u64)?;
        }
    }
    Ok(())
}

/// The parts of an event that are read.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// The step that it belongs to.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Its values.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// The values of an event.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values, in the order in which they were written.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// One value.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The value.
    #[prost(float, tag = "2")]
    pub simple_value: f32,
}

/// The events of a file and their lengths in bytes, up to the first that is incomplete or damaged.
///
/// Each is a TFRecord: its length, a checksum of that, the event, a checksum of that.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = (Event, usize)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, after) = checked(rest, 8)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (event, after) = checked(after, length)?;
        let size = rest.len() - after.len();
        rest = after;
        Some((Event::decode(event).ok()?, size))
    })
}

/// Content of `length` bytes and the rest, if the checksum that follows the content is right.
fn checked(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (content, after) = bytes.split_at_checked(length)?;
    let (sum, after) = after.split_first_chunk::<4>()?;
    // The checksum of data that holds its own checksum is weak, so TFRecord rotates it and adds a constant.
    let masked = crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8);
    (masked == u32::from_le_bytes(*sum)).then_some((content, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::train::Pass;

    fn step(done: usize) -> Step {
        let passes = vec![Pass { bits: "full precision".into(), loss: done as f32 / 2.0, accuracy: 0.5 }];
        Step { done, epoch: 0, learning_rate: 0.25, images: 8, passes }
    }

    fn go(observer: &TensorBoard, done: usize, end: usize) {
        observer.start("fine-tune found", 20, done);
        (done + 1..=end).for_each(|done| observer.step(&step(done)));
    }

    /// Per file: its name, whether every byte belongs to a valid event, and the steps of one tag.
    fn files(home: &Path) -> Vec<(String, bool, Vec<i64>)> {
        let folder = home.join("tensorboard/fine-tune-found");
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let one = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            let all: Vec<(Event, usize)> = events(&bytes).collect();
            let whole = all.iter().map(|(_, size)| size).sum::<usize>() == bytes.len();
            let tagged = |event: &Event| event.summary.iter().flat_map(|s| &s.value).any(|v| v.tag == "learning_rate");
            let steps = all.iter().map(|(event, _)| event).filter(|event| tagged(event)).map(|event| event.step);
            (path.file_name().unwrap().to_string_lossy().into_owned(), whole, steps.collect())
        };
        paths.iter().map(one).collect()
    }

    #[test]
    fn events_are_read_back_with_their_numbers() {
        let home = tempfile::tempdir().unwrap();
        let observer = TensorBoard::new(home.path());
        go(&observer, 0, 1);
        observer.finish();
        let bytes = fs::read(home.path().join("tensorboard/fine-tune-found/events.out.tfevents.0000000000")).unwrap();
        let values = events(&bytes).filter_map(|(event, _)| Some((event.step, event.summary?.value)));
        let values: Vec<(i64, String, f32)> =
            values.flat_map(|(step, values)| values.into_iter().map(move |v| (step, v.tag, v.simple_value))).collect();
        let expected = [("loss/full_precision", 0.5), ("accuracy/full_precision", 0.5), ("learning_rate", 0.25)];
        assert_eq!(values, expected.map(|(tag, value)| (1, tag.to_owned(), value)));
        // TensorBoard's file version, as its writer for TensorFlow puts it first.
        assert!(bytes.windows(13).any(|words| words == b"brain.Event:2"));
        // A flipped bit ends the reading.
        let mut harmed = bytes.clone();
        *harmed.last_mut().unwrap() ^= 1;
        assert_eq!(events(&harmed).count(), events(&bytes).count() - 1);
        harmed[0] ^= 1;
        assert_eq!(events(&harmed).count(), 0);
    }

    #[test]
    fn a_stage_that_goes_on_has_each_step_once() {
        let home = tempfile::tempdir().unwrap();
        let observer = TensorBoard::new(home.path());
        go(&observer, 0, 5);
        observer.saving();
        // Killed in the middle of an event.
        let first = home.path().join("tensorboard/fine-tune-found/events.out.tfevents.0000000000");
        File::options().append(true).open(&first).unwrap().write_all(&[24, 0, 0]).unwrap();
        fs::write(first.with_file_name("notes.txt"), "of somebody else").unwrap();
        go(&TensorBoard::new(home.path()), 3, 9);
        go(&TensorBoard::new(home.path()), 6, 8);
        fs::remove_file(first.with_file_name("notes.txt")).unwrap();
        let name = |from: usize| format!("events.out.tfevents.{from:010}");
        let expected = [(name(0), true, vec![1, 2, 3]), (name(3), true, vec![4, 5, 6]), (name(6), true, vec![7, 8])];
        assert_eq!(files(home.path()), expected);
        go(&TensorBoard::new(home.path()), 0, 2);
        assert_eq!(files(home.path()), [(name(0), true, vec![1, 2])]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_stops_nothing() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("tensorboard"), "").unwrap();
        let observer = TensorBoard::new(home.path());
        go(&observer, 0, 2);
        observer.saving();
        observer.finish();
        assert!(observer.warned.get() && home.path().join("tensorboard").is_file());
    }
}
