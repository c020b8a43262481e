//! Tests of the loader on images that encode their index.

use super::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Image `i` holds its index and its draw. Images whose index is a multiple of three take longest.
#[derive(Default)]
struct Numbered {
    started: AtomicUsize,
    broken: Vec<usize>,
    left_out: Vec<usize>,
    panics: bool,
}

const LENGTH: usize = 100;

impl Samples for Numbered {
    fn len(&self) -> usize {
        LENGTH
    }

    fn label(&self, index: usize) -> usize {
        index % 7
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        self.started.fetch_add(1, Ordering::Relaxed);
        if index.is_multiple_of(3) {
            thread::sleep(Duration::from_micros(300));
        }
        assert!(!self.panics || index != 9, "image 9 is a bug");
        let (path, why) = (format!("{index}.png"), "broken".to_owned());
        if self.broken.contains(&index) {
            return Err(DatasetError::Content { path, why });
        }
        if self.left_out.contains(&index) {
            return Err(DatasetError::LeftOut { path, why });
        }
        pixels[0] = index as f32;
        pixels[1] = draw.map_or(-1.0, |draw| (draw % 1000) as f32);
        Ok(())
    }
}

fn count(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// A loader whose images count as large, so that workers take them one by one.
fn loader(samples: Numbered, picks: Vec<Pick>, batch_size: usize, workers: usize) -> Loader<'static> {
    Loader::new(Arc::new(samples), AT_ONCE, picks, count(batch_size), count(workers))
}

fn indices(batch: &Batch) -> Vec<usize> {
    batch.pixels.chunks(AT_ONCE).map(|pixels| pixels[0] as usize).collect()
}

#[test]
fn batches_come_in_order_whatever_the_number_of_workers() {
    let order: Vec<usize> = (0..LENGTH).map(|i| i * 37 % LENGTH).collect();
    let all = |workers| -> Vec<Batch> {
        loader(Numbered::default(), Pick::drawn(&order, 5), 16, workers).map(Result::unwrap).collect()
    };
    let one = all(1);
    assert_eq!(one.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [16, 16, 16, 16, 16, 16, 4]);
    assert_eq!(one.iter().flat_map(indices).collect::<Vec<_>>(), order);
    let labels: Vec<usize> = one.iter().flat_map(|batch| batch.labels.clone()).collect();
    assert_eq!(labels, order.iter().map(|index| index % 7).collect::<Vec<_>>());
    for workers in [2, 3, 8] {
        assert!(all(workers) == one, "{workers} workers");
    }
}

/// As if no thread could be started: `ulimit -u`, the pids limit of a container.
#[test]
fn without_any_worker_the_batches_are_the_same() {
    let order: Vec<usize> = (0..LENGTH).rev().collect();
    let new = || loader(Numbered::default(), Pick::drawn(&order, 5), 16, 2);
    let with: Vec<Batch> = new().map(Result::unwrap).collect();
    let mut without = new();
    without.shared.stop();
    without.workers.drain(..).for_each(|worker| worker.join().unwrap());
    assert!(without.map(Result::unwrap).eq(with));
}

#[test]
fn images_that_no_memory_can_hold_are_an_error() {
    let new = |batch_size| {
        Loader::new(Arc::new(Numbered::default()), 1 << 50, Pick::plain(&[1, 2, 3]), count(batch_size), count(1))
    };
    let mut loader = new(2);
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "cannot hold 2 images at once: the system has no 8589934592 MiB for them; lower batch_size");
    assert!(loader.next().is_none());
}

#[test]
fn draws_depend_on_epoch_and_image_alone() {
    let whole = Pick::drawn(&[4, 8, 15], 1);
    assert_eq!(whole[1..], Pick::drawn(&[8, 15], 1), "an epoch that goes on in its middle");
    assert_eq!(whole[2], Pick::drawn(&[15, 4], 1)[0], "the order does not matter");
    let all: Vec<usize> = (0..1000).collect();
    let draws = |epoch| Pick::drawn(&all, epoch).into_iter().map(|pick| pick.draw.unwrap());
    let distinct: std::collections::BTreeSet<u64> = draws(1).chain(draws(2)).collect();
    assert_eq!(distinct.len(), 2000);
    let even = distinct.iter().filter(|draw| draw.is_multiple_of(2)).count();
    assert!((900..1100).contains(&even), "{even}");
    assert_eq!(Pick::plain(&[3]), [Pick { index: 3, draw: None }]);
}

#[test]
fn workers_stay_two_batches_ahead() {
    let all: Vec<usize> = (0..LENGTH).collect();
    let samples = Arc::new(Numbered::default());
    let mut loader = Loader::new(samples.clone(), AT_ONCE, Pick::plain(&all), count(10), count(3));
    let started = |expected: usize| {
        for _ in 0..1000 {
            thread::sleep(Duration::from_millis(1));
            if samples.started.load(Ordering::Relaxed) == expected {
                break;
            }
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(samples.started.load(Ordering::Relaxed), expected);
    };
    started(30);
    loader.next().unwrap().unwrap();
    started(30);
    loader.next().unwrap().unwrap();
    started(40);
    drop(loader);
    assert_eq!(samples.started.load(Ordering::Relaxed), 40, "dropped: nothing more is decoded");
}

#[test]
fn the_first_broken_image_is_named_and_ends_it() {
    let all: Vec<usize> = (0..LENGTH).collect();
    for workers in [1, 4] {
        let broken = Numbered { broken: vec![24, 23, 60], ..Numbered::default() };
        let mut loader = loader(broken, Pick::plain(&all), 10, workers);
        assert!(loader.next().unwrap().is_ok() && loader.next().unwrap().is_ok());
        assert_eq!(loader.next().unwrap().unwrap_err().to_string(), "23.png: broken");
        assert!(loader.next().is_none());
    }
}

#[test]
fn images_left_out_are_missing_in_their_batch() {
    let all: Vec<usize> = (0..20).collect();
    let samples = Numbered { left_out: vec![3, 4, 19], ..Numbered::default() };
    let batches: Vec<Batch> = loader(samples, Pick::plain(&all), 10, 4).map(Result::unwrap).collect();
    assert_eq!(indices(&batches[0]), [0, 1, 2, 5, 6, 7, 8, 9]);
    assert_eq!(batches[0].labels, [0, 1, 2, 5, 6, 0, 1, 2]);
    assert_eq!(indices(&batches[1]), (10..19).collect::<Vec<_>>());
}

/// 257 images of which the last is broken are a batch of 256 and an empty one.
#[test]
fn a_batch_without_readable_images_is_empty_and_no_error() {
    let sizes = |left_out: &[usize], batch_size, workers| -> Vec<usize> {
        let samples = Numbered { left_out: left_out.to_vec(), ..Numbered::default() };
        let all: Vec<usize> = (0..21).collect();
        loader(samples, Pick::plain(&all), batch_size, workers).map(|batch| batch.unwrap().labels.len()).collect()
    };
    for workers in [1, 2, 8] {
        assert_eq!(sizes(&[20], 10, workers), [10, 10, 0], "the last one");
        assert_eq!(sizes(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 10, workers), [0, 10, 1], "the first one");
        let middle: Vec<usize> = (0..21).filter(|&index| index != 10).collect();
        assert_eq!(sizes(&middle, 7, workers), [0, 1, 0], "all but one");
    }
    let samples = Numbered { left_out: vec![20, 3], ..Numbered::default() };
    let all: Vec<usize> = (0..21).collect();
    let filled = loader(samples, Pick::plain(&all), 10, 3).filled();
    assert_eq!(filled.map(|batch| batch.unwrap().labels.len()).collect::<Vec<_>>(), [9, 10]);
}

#[test]
fn that_no_image_at_all_can_be_read_is_an_error() {
    let new = |workers| {
        let samples = Numbered { left_out: (0..LENGTH).collect(), ..Numbered::default() };
        loader(samples, Pick::plain(&[7, 8, 9, 3, 5]), 2, workers)
    };
    for workers in [1, 4] {
        let mut batches: Vec<_> = new(workers).collect();
        let error = batches.pop().unwrap().unwrap_err().to_string();
        assert_eq!(error, "5.png: broken; this was the last of 5 images, none of which can be read");
        assert!(batches.len() == 2 && batches.iter().all(|batch| *batch.as_ref().unwrap() == Batch::default()));
        assert_eq!(new(workers).filled().count(), 1, "the error stays");
        assert!(new(workers).after_others().all(|batch| batch.unwrap().labels.is_empty()));
    }
}

#[test]
#[should_panic(expected = "image 9 is a bug")]
fn a_panic_in_a_data_set_is_passed_on() {
    let all: Vec<usize> = (0..LENGTH).collect();
    let samples = Numbered { panics: true, ..Numbered::default() };
    loader(samples, Pick::plain(&all), 4, 3).for_each(drop);
}

#[test]
fn no_picks_give_no_batches() {
    assert!(loader(Numbered::default(), vec![], 4, 2).next().is_none());
}
