//! Data-parallel work: a batch is divided among devices, each with a copy of the network; results are combined in the
//! order of the devices, gradients by `collective.rs`.
//!
//! The network is copied to the devices in each optimizer step, so that all copies have the same weights and
//! quantization parameters, which are initialised once. Batch-norms use the statistics of the device's own part of the
//! batch, and running statistics are those of the first device, as in PyTorch's DistributedDataParallel.

use super::{loader::Batch, network::Network};
use burn::{module::Module, tensor::Device};
use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// Works on all tasks in parallel and returns the results in the order of the tasks. The calling thread does the first
/// task, and those for which no thread could be started.
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

/// Divides a batch into at most `parts` parts of consecutive images, with sizes that differ by at most one; none is
/// empty.
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

/// A copy of the network on another device, with gradients of its own if asked for.
pub(super) fn copy(network: &Network, device: &Device, gradients: bool) -> Network {
    // Not `fork`: it shares batch-norm statistics with the original and moves them as well.
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
