//! The terminal: a live view if stdout is a terminal, plain lines if it is not.

use super::view::{View, joined, percent};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use limpq_core::train::{Progress, Step, Validation};
use std::{
    cell::RefCell,
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

/// The views for what stdout and stderr are connected to.
pub fn observers() -> Vec<Box<dyn Progress>> {
    let mut views: Vec<Box<dyn Progress>> = vec![];
    if stdout().is_terminal() {
        views.push(Box::new(Live::new(ProgressDrawTarget::stdout)));
    }
    // A stderr that is redirected to a file gets the lines, even beside a live view.
    if !stdout().is_terminal() || !stderr().is_terminal() {
        views.push(Box::new(Lines::new(stderr())));
    }
    views
}

/// The text of a live view: speed and time beside the bar, losses and accuracies below it.
fn words(view: &View, time: &str) -> String {
    let below = [view.loss(), view.accuracy()].into_iter().filter(|words| !words.is_empty());
    below.fold(joined(&[&view.speed(), time]), |all, words| format!("{all}\n{:>18} {words}", ""))
}

/// A bar, with loss, validation and accuracies below it; drawn at most twenty times a second.
struct Live {
    target: Box<dyn Fn() -> ProgressDrawTarget>,
    stage: RefCell<Option<(View, ProgressBar)>>,
}

impl Live {
    fn new(target: impl Fn() -> ProgressDrawTarget + 'static) -> Self {
        Self { target: Box::new(target), stage: RefCell::default() }
    }

    fn show(&self, change: impl FnOnce(&mut View)) {
        if let Some((view, bar)) = self.stage.borrow_mut().as_mut() {
            change(view);
            bar.set_position(view.done as u64);
            bar.set_message(words(view, &view.left()));
        }
    }
}

impl Progress for Live {
    fn start(&self, label: &str, steps: usize, done: usize) {
        let style = ProgressStyle::with_template("{prefix:>18} {bar:24} {pos}/{len} steps, {msg}");
        let style = style.expect("the template is a constant that parses");
        let bar = ProgressBar::with_draw_target(Some(steps as u64), (self.target)());
        let bar = bar.with_style(style).with_prefix(label.to_owned()).with_position(done as u64);
        self.stage.replace(Some((View::new(label, steps, done), bar)));
    }

    fn step(&self, step: &Step) {
        self.show(|view| view.step(step));
    }

    fn validated(&self, validation: &Validation) {
        self.show(|view| view.validated(validation));
    }

    fn note(&self, note: &str) {
        self.show(|view| view.note(note));
    }

    fn finish(&self) {
        if let Some((view, bar)) = self.stage.take() {
            bar.abandon_with_message(words(&view, &view.took()));
        }
    }
}

/// One line per tenth of a stage, and one after ten minutes without any.
struct Lines<W> {
    out: RefCell<W>,
    /// The running stage, and when the last line was written.
    stage: RefCell<Option<(View, Instant)>>,
}

impl<W: Write> Lines<W> {
    const PARTS: usize = 10;
    const SILENCE: Duration = Duration::from_secs(600);

    fn new(out: W) -> Self {
        Self { out: RefCell::new(out), stage: RefCell::default() }
    }

    /// Errors are ignored: stderr may be closed.
    fn line(&self, line: &str) {
        let _ = writeln!(self.out.borrow_mut(), "{line}");
    }

    fn advance(&self, change: impl FnOnce(&mut View)) {
        if let Some((view, last)) = self.stage.borrow_mut().as_mut() {
            let part = |view: &View| view.done * Self::PARTS / view.steps.max(1);
            let before = part(view);
            change(view);
            // The last tenth ends with the stage, which has a line of its own.
            let due = part(view) > before || last.elapsed() > Self::SILENCE;
            if due && view.done < view.steps {
                let words = joined(&[&view.loss(), &view.accuracy(), &view.speed(), &view.left()]);
                self.line(&format!("{}: step {} of {}, {words}", view.label, view.done, view.steps));
                *last = Instant::now();
            }
        }
    }
}

impl<W: Write> Progress for Lines<W> {
    fn start(&self, label: &str, steps: usize, done: usize) {
        match done {
            0 => self.line(&format!("{label}: {steps} steps")),
            _ => self.line(&format!("{label}: {steps} steps, continuing after step {done}")),
        }
        self.stage.replace(Some((View::new(label, steps, done), Instant::now())));
    }

    fn step(&self, step: &Step) {
        self.advance(|view| view.step(step));
    }

    fn note(&self, note: &str) {
        self.advance(|view| view.note(note));
    }

    fn validated(&self, validation: &Validation) {
        if let Some((view, _)) = self.stage.borrow_mut().as_mut() {
            view.validated(validation);
            let (score, best) = (&validation.score, if validation.best { ", the best so far" } else { "" });
            let (accuracy, loss, epoch) = (percent(score.accuracy), score.loss, validation.epoch + 1);
            self.line(&format!("{}: epoch {epoch}, validation accuracy {accuracy}, loss {loss:.3}{best}", view.label));
        }
    }

    fn finish(&self) {
        if let Some((view, _)) = self.stage.take() {
            let end = match view.done < view.steps {
                true => format!("stopped after step {} of {}", view.done, view.steps),
                false => "done".to_owned(),
            };
            let words = joined(&[&end, &view.loss(), &view.accuracy(), &view.speed(), &view.took()]);
            self.line(&format!("{}: {words}", view.label));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::InMemoryTerm;
    use limpq_core::train::{Pass, Score};

    fn step(done: usize) -> Step {
        let pass = |bits: &str, accuracy| Pass { bits: bits.into(), loss: 1.25, accuracy };
        Step {
            done,
            epoch: 0,
            learning_rate: 0.1,
            images: 64,
            passes: vec![pass("w4a4", 0.5), pass("w2a2", 0.25), pass("mixed", 0.125)],
        }
    }

    fn validation(best: bool) -> Validation {
        let score = Score { accuracy: 0.75, top5: 1.0, loss: 0.5, images: 100, batch_norm_images: 0 };
        Validation { done: 30, epoch: 0, score, best }
    }

    #[test]
    fn the_live_view_shows_where_a_stage_stands() {
        let terminal = InMemoryTerm::new(10, 120);
        let live = Live::new({
            let terminal = terminal.clone();
            move || ProgressDrawTarget::term_like(Box::new(terminal.clone()))
        });
        live.start("indicators", 60, 10);
        (11..=30).for_each(|done| live.step(&step(done)));
        live.validated(&validation(true));
        live.stage.borrow().as_ref().unwrap().1.force_draw();
        let shown = terminal.contents();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].trim_start().starts_with("indicators ") && lines[0].contains(" 30/60 steps, "), "{shown}");
        assert!(lines[0].contains(" images/s, ") && lines[0].ends_with(" left"), "{shown}");
        let numbers = ["loss 1.250, validation 75.0 %", "w4a4 50.0 %, w2a2 25.0 %, mixed 12.5 %"];
        assert_eq!([lines[1].trim(), lines[2].trim()], numbers, "{shown}");
        live.finish();
        let shown = terminal.contents();
        assert!(shown.lines().next().unwrap().ends_with(" s"), "how long it took\n{shown}");
    }

    #[test]
    fn plain_lines_come_at_every_tenth_and_at_the_end() {
        let mut out = vec![];
        let lines = Lines::new(&mut out);
        lines.start("indicators", 60, 0);
        (1..=60).for_each(|done| lines.step(&step(done)));
        lines.validated(&validation(false));
        lines.finish();
        lines.start("refine", 40, 25);
        lines.note("loss 0.5");
        lines.finish();
        drop(lines);
        let out = String::from_utf8(out).unwrap();
        let all: Vec<&str> = out.lines().collect();
        assert_eq!(all[0], "indicators: 60 steps");
        let starts: Vec<String> =
            (1..10).map(|part| format!("indicators: step {} of 60, loss 1.250, ", 6 * part)).collect();
        for (line, start) in all[1..10].iter().zip(&starts) {
            assert!(line.starts_with(start) && line.contains("w2a2 25.0 %") && line.ends_with(" left"), "{line}");
        }
        assert_eq!(all[10], "indicators: epoch 1, validation accuracy 75.0 %, loss 0.500");
        assert!(all[11].starts_with("indicators: done, loss 1.250, validation 75.0 %, w4a4 50.0 %"), "{out}");
        assert_eq!(all[12], "refine: 40 steps, continuing after step 25");
        assert_eq!(all[13], "refine: stopped after step 26 of 40, loss 0.5, 0 s");
        assert_eq!(all.len(), 14, "{out}");
    }
}
