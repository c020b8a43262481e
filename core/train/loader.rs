//! Batches of images, decoded ahead of use by worker threads.
//!
//! The content of a batch depends only on the picks, not on the number or speed of the workers: a worker takes the next
//! image that is not taken, and batches are assembled in the order of the picks. Workers are at most two batches ahead,
//! which bounds the memory.

use super::{DatasetError, Progress, Samples};
use crate::graph::Shape;
use burn::tensor::{Device, Tensor, TensorData};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

/// Number of batches that workers may be ahead.
const AHEAD: usize = 2;
/// Small images are taken several at a time: about this many values.
const AT_ONCE: usize = 16_384;

/// An image of a set, and the seed of its augmentation (`None`: as in evaluation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its index in the set.
    pub index: usize,
    /// Seed of the augmentation.
    pub draw: Option<u64>,
}

impl Pick {
    /// Images as in evaluation.
    pub fn plain(indices: &[usize]) -> Vec<Self> {
        indices.iter().map(|&index| Self { index, draw: None }).collect()
    }

    /// Images to train on. An image's seed depends on the epoch and its index only, not on its position in the order.
    pub fn drawn(indices: &[usize], epoch: u64) -> Vec<Self> {
        indices.iter().map(|&index| Self { index, draw: Some(mixed(epoch, index as u64)) }).collect()
    }
}

/// Mixes two integers into one (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Images and their classes, in the order of the picks, without images that their set leaves out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The images, in image, channel, row, column order.
    pub pixels: Vec<f32>,
    /// The class of each.
    pub labels: Vec<usize>,
}

impl Batch {
    /// The images as `[batch, channels, height, width]` on a device, and their classes.
    pub fn on(self, shape: Shape, device: &Device) -> (Tensor<4>, Vec<usize>) {
        let data = TensorData::new(self.pixels, [self.labels.len(), shape.channels, shape.height, shape.width]);
        (Tensor::from_data(data, device), self.labels)
    }
}

/// The number of threads that the machine has for this program.
pub fn default_workers() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

type Decoded = Result<Vec<f32>, DatasetError>;

/// An iterator over batches. The last batch may be smaller. A batch whose images are all left out is empty, but if that
/// is so of all batches it is an error. After an error the iterator ends. Dropping it stops its workers.
pub struct Loader<'a> {
    shared: Arc<Shared>,
    batch_size: usize,
    /// The first pick that has not been given out.
    at: usize,
    /// Whether any image could be read.
    any: bool,
    /// Images decoded before their turn.
    early: BTreeMap<usize, Decoded>,
    decoded: Receiver<(usize, Decoded)>,
    workers: Vec<JoinHandle<()>>,
    /// Told the remarks of the set.
    progress: &'a dyn Progress,
}

impl<'a> Loader<'a> {
    /// Starts decoding. `elements` is the size of an image.
    pub fn new(
        samples: Arc<dyn Samples>,
        elements: usize,
        picks: Vec<Pick>,
        batch_size: NonZeroUsize,
        workers: NonZeroUsize,
    ) -> Self {
        let batch_size = batch_size.get();
        let at_once = (AT_ONCE / elements.max(1)).clamp(1, 16);
        let workers = workers.get().min(picks.len().div_ceil(at_once));
        let ahead = (AHEAD * batch_size).max(AHEAD * workers * at_once);
        let queue = Mutex::new(Queue { next: 0, limit: batch_size + ahead });
        let shared = Arc::new(Shared { samples, elements, picks, at_once, ahead, queue, room: Condvar::new() });
        let (sender, decoded) = channel();
        let start = |_| {
            let (shared, sender) = (shared.clone(), sender.clone());
            thread::Builder::new().spawn(move || shared.work(&sender)).ok()
        };
        // If the system allows fewer threads, those do the work; without any, images are decoded on request.
        let workers = (0..workers).map_while(start).collect();
        Self { shared, batch_size, at: 0, any: false, early: BTreeMap::new(), decoded, workers, progress: &() }
    }

    /// The same, passing on the set's remarks while its images are decoded.
    pub fn telling(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// The same for batches that follow others: then it is not an error that none of these can be read.
    pub fn after_others(mut self) -> Self {
        self.any = true;
        self
    }

    /// The batches that are not empty.
    pub fn filled(self) -> impl Iterator<Item = Result<Batch, DatasetError>> + use<'a> {
        self.filter(|batch| batch.as_ref().map_or(true, |batch| !batch.labels.is_empty()))
    }

    /// Waits for the image at a position in the order.
    fn decoded(&mut self, place: usize) -> Decoded {
        loop {
            if let Some(decoded) = self.early.remove(&place) {
                return decoded;
            }
            if self.workers.is_empty() {
                return self.shared.image(place);
            }
            let Ok((other, decoded)) = self.decoded.recv() else { self.workers_failed() };
            self.early.insert(other, decoded);
        }
    }

    /// Propagates the panic of a worker: it is a bug in a data set.
    fn workers_failed(&mut self) -> ! {
        for worker in self.workers.drain(..) {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
        unreachable!("workers end early only by a panic")
    }
}

impl Iterator for Loader<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = (self.at + self.batch_size).min(self.shared.picks.len());
        let places = std::mem::replace(&mut self.at, end)..end;
        if places.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        match room(places.len(), self.shared.elements) {
            Ok(pixels) => batch.pixels = pixels,
            Err(error) => {
                self.at = self.shared.picks.len();
                self.shared.stop();
                return Some(Err(error));
            }
        }
        let mut left_out = None;
        for place in places {
            match self.decoded(place) {
                Ok(pixels) => {
                    batch.pixels.extend_from_slice(&pixels);
                    batch.labels.push(self.shared.samples.label(self.shared.picks[place].index));
                }
                Err(error @ DatasetError::LeftOut { .. }) => left_out = Some(error),
                Err(error) => {
                    self.at = self.shared.picks.len();
                    self.shared.stop();
                    return Some(Err(error));
                }
            }
        }
        self.shared.go_on(end);
        self.shared.samples.remarks().iter().for_each(|remark| self.progress.remark(remark));
        self.any |= !batch.labels.is_empty();
        match left_out {
            // Without a single image nothing can be computed.
            Some(DatasetError::LeftOut { path, why }) if !self.any && end == self.shared.picks.len() => {
                let why = format!("{why}; this was the last of {end} images, none of which can be read");
                Some(Err(DatasetError::Content { path, why }))
            }
            _ => Some(Ok(batch)),
        }
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A worker's panic has been propagated, or its image is no longer needed.
            let _ = worker.join();
        }
    }
}

/// Allocates memory for `images` images, if the system has it.
fn room(images: usize, elements: usize) -> Result<Vec<f32>, DatasetError> {
    let (mut pixels, numbers) = (vec![], images.saturating_mul(elements));
    let mib = numbers.saturating_mul(size_of::<f32>()) >> 20;
    pixels.try_reserve_exact(numbers).map_err(|_| DatasetError::Memory { images, mib })?;
    Ok(pixels)
}

/// State shared by workers and loader.
struct Shared {
    samples: Arc<dyn Samples>,
    elements: usize,
    picks: Vec<Pick>,
    at_once: usize,
    ahead: usize,
    queue: Mutex<Queue>,
    /// Notified when the limit rises.
    room: Condvar,
}

/// Which picks are taken.
struct Queue {
    /// The first pick that is not taken.
    next: usize,
    /// Picks from here on may not be taken yet.
    limit: usize,
}

impl Shared {
    fn work(&self, sender: &Sender<(usize, Decoded)>) {
        let _stop = StopOnPanic(self);
        while let Some(places) = self.take() {
            for place in places {
                if sender.send((place, self.image(place))).is_err() {
                    return;
                }
            }
        }
    }

    fn image(&self, place: usize) -> Decoded {
        let Pick { index, draw } = self.picks[place];
        let mut pixels = room(1, self.elements)?;
        pixels.resize(self.elements, 0.0);
        self.samples.image(index, draw, &mut pixels).map(|()| pixels)
    }

    /// Takes the next free picks; waits until they are within the limit.
    fn take(&self) -> Option<Range<usize>> {
        let mut queue = self.queue();
        while queue.next < self.picks.len() && queue.next >= queue.limit {
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let start = queue.next;
        queue.next = (start + self.at_once).min(self.picks.len());
        (start < queue.next).then_some(start..queue.next)
    }

    fn go_on(&self, given_out: usize) {
        self.queue().limit = given_out + self.ahead;
        self.room.notify_all();
    }

    fn stop(&self) {
        self.queue().next = self.picks.len();
        self.room.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing can panic while the lock is held, so the queue is consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the other workers on a panic, so that nobody waits for an image that will never come.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests;
