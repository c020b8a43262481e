//! Data-parallel work: a batch is divided among devices, each with a copy of the network, and what they find is put together
//! in their order; gradients by `collective.rs`.
//!
//! Copies are made anew for each optimizer step, so all start a step with the same numbers: weights, and step sizes as well,
//! are initialised once and stay in step. Batch-norms use the statistics of a device's own share, and running statistics are
//! those of the first device, as in PyTorch's DistributedDataParallel.

use super::{loader::Batch, network::Network};
use burn::{module::Module, tensor::Device};
use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// Works on every task at once and gives the results in the tasks' order. The first is done by the calling thread, which is
/// the only one if there is one task. It also does those that no thread could be started for.
pub(super) fn each<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let tasks: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let one = |place: usize| {
        let task = tasks[place].lock().unwrap_or_else(PoisonError::into_inner).take();
        work(task.expect("each task is done once"))
    };
    if tasks.is_empty() {
        return vec![];
    }
    thread::scope(|scope| {
        let one = &one;
        let start = |place| thread::Builder::new().spawn_scoped(scope, move || one(place));
        let others: Vec<_> = (1..tasks.len()).map(start).collect();
        let mut results = vec![one(0)];
        results.extend(others.into_iter().zip(1..).map(|(other, place)| match other {
            Ok(other) => other.join().unwrap_or_else(|why| std::panic::resume_unwind(why)),
            Err(_) => one(place),
        }));
        results
    })
}

/// A batch in so many parts of consecutive images, whose sizes differ by one at most; none is empty.
pub(super) fn shares(batch: Batch, parts: usize) -> Vec<Batch> {
    let images = batch.labels.len();
    let parts = parts.clamp(1, images.max(1));
    if parts == 1 {
        return vec![batch];
    }
    let elements = batch.pixels.len() / images;
    let part = |number: usize| {
        let places = images * number / parts..images * (number + 1) / parts;
        Batch {
            pixels: batch.pixels[places.start * elements..places.end * elements].to_vec(),
            labels: batch.labels[places].to_vec(),
        }
    };
    (0..parts).map(part).collect()
}

/// The network on another device, with gradients of its own if it has them here.
pub(super) fn copy(network: &Network, device: &Device, gradients: bool) -> Network {
    // Not `fork`: it shares batch-norm statistics with the original, and takes them along.
    let copy = network.clone().valid().to_device(device);
    if gradients { copy.train() } else { copy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_tasks() {
        let slow_first = |task: u64| {
            std::thread::sleep(std::time::Duration::from_millis(5 * (3 - task)));
            task
        };
        assert_eq!(each(vec![0, 1, 2, 3], slow_first), [0, 1, 2, 3]);
        assert_eq!(each(Vec::<u64>::new(), slow_first), [0; 0]);
    }

    #[test]
    fn a_batch_is_divided_evenly_and_in_order() {
        let batch = Batch { pixels: (0..14u8).map(f32::from).collect(), labels: (0..7).collect() };
        let parts = shares(batch.clone(), 3);
        assert_eq!(parts.iter().map(|part| part.labels.len()).collect::<Vec<_>>(), [2, 2, 3]);
        assert_eq!(parts.iter().flat_map(|part| part.pixels.clone()).collect::<Vec<_>>(), batch.pixels);
        assert_eq!(parts[2], Batch { pixels: (8..14u8).map(f32::from).collect(), labels: vec![4, 5, 6] });
        assert_eq!(shares(batch.clone(), 1), std::slice::from_ref(&batch));
        assert_eq!(shares(batch, 100).len(), 7, "no part is empty");
    }
}
