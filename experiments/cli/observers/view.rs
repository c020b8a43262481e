//! The state of a stage in words, for both views of the terminal.

use indicatif::HumanDuration;
use limpq_core::train::{Step, Validation};
use std::time::{Duration, Instant};

/// A running stage.
pub struct View {
    /// Its label.
    pub label: String,
    /// Number of its steps.
    pub steps: usize,
    /// Number of steps that are done.
    pub done: usize,
    since: Instant,
    last: Instant,
    pace: Pace,
    /// Mean loss and accuracy per kind of pass (its bits).
    passes: Vec<(String, Recent, Recent)>,
    /// Accuracy on the validation images: of the last epoch and of the best one.
    validation: Option<(f64, f64)>,
    /// The last note of a stage that does not train.
    note: String,
}

impl View {
    /// A stage that starts, or continues, now.
    pub fn new(label: &str, steps: usize, done: usize) -> Self {
        let (label, now) = (label.to_owned(), Instant::now());
        let (pace, passes) = (Pace::default(), vec![]);
        Self { label, steps, done, since: now, last: now, pace, passes, validation: None, note: String::new() }
    }

    /// One step of training is done.
    pub fn step(&mut self, step: &Step) {
        for pass in &step.passes {
            let place = self.passes.iter().position(|(bits, ..)| *bits == pass.bits).unwrap_or_else(|| {
                self.passes.push((pass.bits.clone(), Recent::default(), Recent::default()));
                self.passes.len() - 1
            });
            let (_, loss, accuracy) = &mut self.passes[place];
            loss.add(pass.loss.into());
            accuracy.add(pass.accuracy);
        }
        self.advance(step.done, step.images);
    }

    /// One step of a stage that does not train is done.
    pub fn note(&mut self, note: &str) {
        note.clone_into(&mut self.note);
        self.advance(self.done + 1, 0);
    }

    /// An epoch was measured.
    pub fn validated(&mut self, validation: &Validation) {
        let accuracy = validation.score.accuracy;
        let best = self.validation.map_or(accuracy, |(_, best)| best.max(accuracy));
        self.validation = Some((accuracy, best));
    }

    fn advance(&mut self, done: usize, images: usize) {
        self.done = done;
        let now = Instant::now();
        self.pace.add(images, now.duration_since(self.last).as_secs_f64());
        self.last = now;
    }

    /// The mean loss over the last steps and the validation accuracy; or the last note.
    pub fn loss(&self) -> String {
        if self.passes.is_empty() {
            return self.note.clone();
        }
        let loss = self.passes.iter().map(|(_, loss, _)| loss.mean()).sum::<f64>() / self.passes.len() as f64;
        let validation = self.validation.map(|(last, best)| match last < best {
            true => format!("validation {} (best {})", percent(last), percent(best)),
            false => format!("validation {}", percent(last)),
        });
        joined(&[&format!("loss {loss:.3}"), &validation.unwrap_or_default()])
    }

    /// Accuracy on training batches by the bits of the pass, the mean over the last steps.
    pub fn accuracy(&self) -> String {
        let accuracies = self.passes.iter().map(|(bits, _, accuracy)| match self.passes.len() {
            1 => format!("accuracy {}", percent(accuracy.mean())),
            _ => format!("{bits} {}", percent(accuracy.mean())),
        });
        accuracies.collect::<Vec<_>>().join(", ")
    }

    /// Images per second.
    pub fn speed(&self) -> String {
        self.pace.images_per_second().map_or_else(String::new, |speed| format!("{speed:.0} images/s"))
    }

    /// Seconds since the stage was started by this process.
    pub fn took(&self) -> String {
        format!("{:.0} s", self.since.elapsed().as_secs_f64())
    }

    /// Estimated time left.
    pub fn left(&self) -> String {
        let seconds = self.pace.seconds_for(self.steps.saturating_sub(self.done));
        // A clock that jumps can give any duration.
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.map_or_else(String::new, |time| format!("{} left", HumanDuration(time)))
    }
}

/// A fraction as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Joins the parts that are not empty.
pub fn joined(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// An exponential moving average over steps, since the loss of a single batch is noisy.
#[derive(Default)]
struct Recent {
    sum: f64,
    weight: f64,
}

impl Recent {
    const KEEP: f64 = 0.95;

    fn add(&mut self, value: f64) {
        self.sum = self.sum * Self::KEEP + value;
        self.weight = self.weight * Self::KEEP + 1.0;
    }

    fn mean(&self) -> f64 {
        self.sum / self.weight
    }
}

/// Images and steps per second, as an exponential moving average over time.
#[derive(Default)]
struct Pace {
    images: f64,
    steps: f64,
    seconds: f64,
}

impl Pace {
    /// Time constant in seconds: what is this old counts 1/e.
    const MEMORY: f64 = 60.0;

    fn add(&mut self, images: usize, seconds: f64) {
        let keep = (-seconds / Self::MEMORY).exp();
        self.images = self.images * keep + images as f64;
        self.steps = self.steps * keep + 1.0;
        self.seconds = self.seconds * keep + seconds;
    }

    fn images_per_second(&self) -> Option<f64> {
        (self.images > 0.0 && self.seconds > 0.0).then(|| self.images / self.seconds)
    }

    fn seconds_for(&self, steps: usize) -> Option<f64> {
        (self.steps > 0.0).then(|| steps as f64 * self.seconds / self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::train::{Pass, Score};

    #[test]
    fn recent_steps_count_most() {
        let mut recent = Recent::default();
        recent.add(4.0);
        assert_eq!(recent.mean(), 4.0, "one value is its own mean");
        recent.add(1.0);
        // (4 * 0.95 + 1) / (0.95 + 1)
        assert!((recent.mean() - 4.8 / 1.95).abs() < 1e-12);
    }

    #[test]
    fn a_steady_pace_is_found_at_once_and_a_new_one_after_some_minutes() {
        let mut pace = Pace::default();
        assert_eq!((pace.images_per_second(), pace.seconds_for(10)), (None, None));
        for _ in 0..3 {
            pace.add(64, 0.5);
        }
        assert!((pace.images_per_second().unwrap() - 128.0).abs() < 1e-9);
        assert!((pace.seconds_for(10).unwrap() - 5.0).abs() < 1e-9);
        for _ in 0..600 {
            pace.add(64, 1.0);
        }
        assert!((pace.images_per_second().unwrap() - 64.0).abs() < 0.01);
        pace.add(0, 1.0);
        assert!((pace.seconds_for(10).unwrap() - 10.0).abs() < 0.01);
    }

    /// Instants jump when a virtual machine is moved, or when a clock that is not monotonic is set.
    #[test]
    fn no_jump_of_the_clock_is_too_long() {
        for seconds in [0.0, -1e300, 1e19, 1e300, f64::INFINITY, f64::NAN] {
            let mut view = View::new("indicators", usize::MAX, 0);
            view.pace.add(64, seconds);
            let left = view.left();
            assert!(left.is_empty() || left.ends_with(" left"), "{seconds}: {left}");
            let _ = view.speed();
        }
    }

    #[test]
    fn words_name_the_bits_where_there_are_several() {
        let mut view = View::new("indicators", 4, 0);
        let pass = |bits: &str, loss, accuracy| Pass { bits: bits.into(), loss, accuracy };
        let passes = vec![pass("w4a4", 1.0, 0.5), pass("mixed", 2.0, 0.25)];
        view.step(&Step { done: 1, epoch: 0, learning_rate: 0.1, images: 8, passes });
        assert_eq!((view.loss().as_str(), view.accuracy().as_str()), ("loss 1.500", "w4a4 50.0 %, mixed 25.0 %"));
        assert!(view.speed().ends_with(" images/s") && view.left().ends_with(" left"));
        let score = |accuracy| Score { accuracy, top5: 1.0, loss: 1.0, images: 8, batch_norm_images: 0 };
        for accuracy in [0.75, 0.5] {
            view.validated(&Validation { done: 1, epoch: 0, score: score(accuracy), best: true });
        }
        assert_eq!(view.loss(), "loss 1.500, validation 50.0 % (best 75.0 %)");

        let mut view = View::new("fine-tune found", 4, 0);
        view.step(&Step { done: 1, epoch: 0, learning_rate: 0.1, images: 8, passes: vec![pass("mixed", 1.0, 0.5)] });
        assert_eq!(view.accuracy(), "accuracy 50.0 %");

        let mut view = View::new("refine", 4, 0);
        view.note("loss 0.5");
        assert_eq!((view.loss().as_str(), view.accuracy().as_str(), view.done), ("loss 0.5", "", 1));
        assert_eq!(view.speed(), "", "it has no images");
    }
}
