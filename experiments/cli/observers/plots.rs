//! Plots under `plots/` in a run's folder, drawn from `metrics.jsonl` when a stage ends: the loss at each bit-width with the
//! validation accuracy, and the step sizes of every layer.

mod read;

use super::{
    Faults,
    metrics::{self, Record},
    own_folder, stage_file,
};
use crate::plot::{Colour, Line, Panel, Panels, Picture, Stroke};
use anyhow::Context;
use limpq_core::{search::Precision, store::artifact, train::Progress};
use read::Histories;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
};

/// The folder's name.
pub const NAME: &str = "plots";

/// Draws at the end of each stage.
pub struct Plots {
    folder: PathBuf,
    stage: RefCell<String>,
    faults: Faults,
}

impl Plots {
    /// For the run in a folder.
    pub(super) fn new(folder: &Path, faults: &Faults) -> Self {
        Self { folder: folder.to_owned(), stage: RefCell::default(), faults: faults.clone() }
    }
}

impl Progress for Plots {
    fn start(&self, label: &str, _: usize, _: usize) {
        self.stage.replace(label.to_owned());
    }

    fn finish(&self) {
        let stage = self.stage.borrow();
        if let Err(error) = draw_stage(&self.folder, &stage) {
            self.faults.add(format!("there are no plots of {stage}: {error:#}"));
        }
    }
}

/// Draws every stage that a run has metrics of. Returns the files, and a warning if some lines could not be used.
///
/// # Errors
/// A folder without metrics; metrics that no run can have written; files that cannot be read or written.
pub fn draw(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let Histories { stages, odd, .. } = Histories::read(folder, None)?;
    let mut written = vec![];
    for (stage, history) in &stages {
        written.extend(history.draw(folder, stage)?);
    }
    Ok((written, odd))
}

/// Draws the plots of a stage and removes old plots of data that no longer exists.
fn draw_stage(folder: &Path, stage: &str) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(folder.join(metrics::NAME)) {
        // There is nothing to draw, and the observer that could not write the file has reported it.
        Ok(found) if !found.is_file() => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    let histories = Histories::read(folder, Some(stage))?;
    let history = histories.stages.into_iter().next().map(|(_, history)| history).unwrap_or_default();
    history.draw(folder, stage).map(drop)
}

/// Values over steps, by name, in the order of first appearance.
struct Series<K>(Vec<(K, Vec<(f64, f64)>)>);

impl<K> Default for Series<K> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<K: PartialEq> Series<K> {
    fn add(&mut self, key: K, point: (f64, f64)) {
        match self.0.iter_mut().find(|(other, _)| *other == key) {
            Some((_, points)) => points.push(point),
            None => self.0.push((key, vec![point])),
        }
    }
}

/// The data that is drawn of a stage.
#[derive(Default)]
pub(super) struct History {
    loss: Series<String>,
    validation: Vec<(f64, f64)>,
    tensors: Vec<Tensor>,
    /// Indices of the tensors by layer and role.
    places: BTreeMap<(String, String), usize>,
}

/// The step sizes of one tensor.
struct Tensor {
    layer: String,
    role: String,
    /// By bit-width.
    lines: Series<u64>,
}

impl Tensor {
    /// With at most `most` points per line.
    fn panel(&self, most: usize) -> Option<Panel> {
        let tensor = if self.role == "act" { "activations" } else { "weights" };
        let lines = self.lines.0.iter().map(|(bits, points)| Line {
            colour: colour(Some(*bits)),
            stroke: Stroke::Plain,
            points: thinned(points, most),
        });
        let (title, y) = (format!("{}, {tensor}", self.layer), positive_range(&self.lines)?);
        Some(Panel { title, log_y: false, y, lines: lines.collect() })
    }
}

impl History {
    /// Adds the values of a record.
    pub fn add(&mut self, record: Record) {
        let step = record.step as f64;
        for pass in record.passes {
            self.loss.add(pass.bits, (step, pass.loss.into()));
        }
        if let Some(measured) = record.validation {
            self.validation.push((step, 100.0 * measured.accuracy));
        }
        for size in record.step_sizes {
            let place = *self.places.entry((size.layer, size.tensor)).or_insert_with_key(|(layer, role)| {
                self.tensors.push(Tensor { layer: layer.clone(), role: role.clone(), lines: Series::default() });
                self.tensors.len() - 1
            });
            self.tensors[place].lines.add(size.bits, (step, size.value.unwrap_or(f64::NAN)));
        }
    }

    /// Draws the plots, and removes old ones that no longer have data.
    pub fn draw(&self, folder: &Path, stage: &str) -> anyhow::Result<Vec<PathBuf>> {
        let file = stage_file(stage).with_context(|| format!("{stage:?} is not a plain file name"))?;
        let plots = folder.join(NAME);
        let path = |what: &str, form: &str| plots.join(format!("{file}-{what}.{form}"));
        let pictures = [("loss", self.loss(stage)), ("step-sizes", self.step_sizes(stage))];
        if plots.exists() || pictures.iter().any(|(_, picture)| picture.is_some()) {
            own_folder(&plots).with_context(|| format!("cannot draw into {}", plots.display()))?;
        }
        let mut written = vec![];
        for (what, picture) in pictures {
            let (svg, png) = (path(what, "svg"), path(what, "png"));
            match picture {
                Some(picture) => {
                    artifact::write(&svg, picture.svg()?.as_bytes())?;
                    artifact::write(&png, &picture.png()?)?;
                    written.extend([svg, png]);
                }
                None => [svg, png].iter().try_for_each(|old| remove(old))?,
            }
        }
        Ok(written)
    }

    /// The loss by bits, a running mean over the noise of single batches; below it the validation accuracy.
    fn loss(&self, stage: &str) -> Option<Picture> {
        let mut lines = vec![];
        for (bits, points) in &self.loss.0 {
            let (colour, few, noisy) = (colour(whole(bits)), thinned(points, POINTS), points.len() > 30);
            let strong = if noisy { smoothed(&few) } else { few.clone() };
            if noisy {
                // Drawn first, behind the other lines.
                lines.insert(0, Line { colour, stroke: Stroke::Faint, points: few });
            }
            lines.push(Line { colour, stroke: Stroke::Plain, points: strong });
        }
        let y = span(&lines)?;
        let noisy = lines.iter().any(|line| line.stroke == Stroke::Faint);
        let title = if noisy { "loss on training batches, and its running mean" } else { "loss on training batches" };
        let mut panels = vec![Panel { title: title.into(), log_y: false, y, lines }];
        if let Some((least, most)) = extremes(self.validation.iter().map(|point| point.1)) {
            let y = (least - 2.0).max(0.0)..(most + 2.0).min(100.0);
            let lines =
                vec![Line { colour: Colour::Ink, stroke: Stroke::Dotted, points: thinned(&self.validation, POINTS) }];
            panels.push(Panel { title: "accuracy on validation images, %".into(), log_y: false, y, lines });
        }
        let keys = self.loss.0.iter().map(|(bits, _)| (bits.clone(), colour(whole(bits)))).collect();
        let (title, x) = (format!("{stage}: loss"), "optimizer steps".to_owned());
        Some(Picture::Panels(Panels { title, x, keys, columns: 1, size: (900, 340), panels }))
    }

    /// One panel per layer and tensor, one line per bit-width; weights and activations of a layer side by side.
    fn step_sizes(&self, stage: &str) -> Option<Picture> {
        let lines: usize = self.tensors.iter().map(|tensor| tensor.lines.0.len()).sum();
        let most = (ALL_POINTS / lines.max(1)).clamp(2, POINTS);
        let mut panels: Vec<Panel> = self.tensors.iter().filter_map(|tensor| tensor.panel(most)).collect();
        if panels.is_empty() {
            return None;
        }
        // The same scale for all panels.
        let log_y = panels.iter().any(|panel| panel.y.end > 4.0 * panel.y.start);
        panels.iter_mut().for_each(|panel| panel.log_y = log_y);
        let mut bits: Vec<u64> =
            self.tensors.iter().flat_map(|tensor| tensor.lines.0.iter().map(|line| line.0)).collect();
        bits.sort_unstable_by(|a, b| b.cmp(a));
        bits.dedup();
        let keys = bits.iter().map(|&bits| (format!("{bits} bits"), colour(Some(bits)))).collect();
        let columns = if panels.len() > 48 { 6 } else { 4 };
        let title = format!("{stage}: step sizes{}", if log_y { " (logarithmic)" } else { "" });
        let x = "optimizer steps".to_owned();
        Some(Picture::Panels(Panels { title, x, keys, columns, size: (262, 156), panels }))
    }
}

fn remove(old: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(old) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old plot {}", old.display()))
        }
        _ => Ok(()),
    }
}

/// The bit-width of a pass that has the same one everywhere: 4 for `w4a4`.
fn whole(bits: &str) -> Option<u64> {
    let precision: Precision = bits.parse().ok()?;
    (precision.weight == precision.act).then(|| precision.weight.get())
}

/// The colour of a bit-width, the same in every picture.
fn colour(bits: Option<u64>) -> Colour {
    bits.map_or(Colour::Ink, |bits| Colour::Nth([6, 5, 4, 3, 2, 8, 7].iter().position(|&b| b == bits).unwrap_or(7)))
}

/// The range of the positive values, never so small that a step size that hardly moves seems to.
fn positive_range(lines: &Series<u64>) -> Option<Range<f64>> {
    let values = lines.0.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let (least, most) = extremes(values.filter(|&value| value > 1.0 / LARGEST))?;
    let (middle, half) = ((least * most).sqrt(), (most / least).sqrt().max(1.1));
    Some(middle / half.powf(1.1)..middle * half.powf(1.1))
}

/// Largest magnitude that an axis covers; values beyond it are drawn at its edge.
const LARGEST: f64 = 1e30;

/// The least and the greatest value, within [`LARGEST`].
fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.abs() <= LARGEST).fold(None, |found, value| match found {
        None => Some((value, value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

/// Most points that are drawn of a line.
const POINTS: usize = 300;
/// Most points of all step sizes together.
const ALL_POINTS: usize = 300_000;

/// At most `most` points, each the mean of equally many.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    points.chunks(points.len().div_ceil(most).max(1)).map(mean).collect()
}

/// The running mean over a twentieth of the points on either side; near the ends over fewer, but always over equally
/// many on both sides, since an asymmetric mean distorts a steep line.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = (points.len() / 20).max(1);
    let around = |place: usize| {
        let reach = reach.min(place).min(points.len() - 1 - place);
        &points[place - reach..=place + reach]
    };
    (0..points.len()).map(|place| (points[place].0, mean(around(place)).1)).collect()
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
}

/// The vertical range that holds all means and 99 % of the points behind them, so that a single batch does not flatten
/// the rest.
fn span(lines: &[Line]) -> Option<Range<f64>> {
    let of = |stroke: Stroke| {
        let lines = lines.iter().filter(move |line| line.stroke == stroke);
        lines.flat_map(|line| &line.points).map(|point| point.1)
    };
    let mut values: Vec<f64> = of(Stroke::Faint).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.truncate(values.len() - values.len() / 100);
    let (least, most) = extremes(values.into_iter().chain(of(Stroke::Plain)))?;
    let room = ((most - least) * 0.05).max(1e-3);
    Some(least - room..most + room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observers::metrics::{Measured, Pass, Size};

    #[test]
    fn long_lines_are_thinned_to_means() {
        let points: Vec<(f64, f64)> = (0..3000).map(|step| (f64::from(step), f64::from(step % 10))).collect();
        let few = thinned(&points, 300);
        assert_eq!((few.len(), few[0], few[299]), (300, (4.5, 4.5), (2994.5, 4.5)));
        assert_eq!(thinned(&points[..300], 300), points[..300]);
        assert_eq!(thinned(&[], 300), []);
    }

    #[test]
    fn a_running_mean_reaches_as_far_to_both_sides() {
        let points: Vec<(f64, f64)> = (0..5).map(|step| (f64::from(step), f64::from(step * step))).collect();
        // One on either side, none at the ends: 0, (0+1+4)/3, (1+4+9)/3, (4+9+16)/3, 16.
        let means: Vec<f64> = smoothed(&points).iter().map(|point| point.1).collect();
        for (mean, expected) in means.iter().zip([0.0, 5.0 / 3.0, 14.0 / 3.0, 29.0 / 3.0, 16.0]) {
            assert!((mean - expected).abs() < 1e-12, "{means:?}");
        }
    }

    #[test]
    fn one_wild_batch_in_a_hundred_does_not_set_the_range() {
        let points = |wild: f64| (0..100).map(|step| (f64::from(step), if step == 50 { wild } else { 1.0 })).collect();
        let line = |stroke, wild| Line { colour: Colour::Ink, stroke, points: points(wild) };
        let range = span(&[line(Stroke::Faint, 1e6), line(Stroke::Plain, 2.0)]).unwrap();
        assert_eq!((range.start, range.end), (0.95, 2.05));
        assert_eq!(span(&[]), None);
    }

    #[test]
    fn a_step_size_that_hardly_moves_does_not_fill_its_panel() {
        let range = |values: &[f64]| positive_range(&Series(vec![(4, values.iter().map(|&v| (1.0, v)).collect())]));
        let (near, far) = (range(&[0.5, 0.5001]).unwrap(), range(&[0.1, 0.4, 0.0, f64::NAN]).unwrap());
        assert!(near.start < 0.46 && near.end > 0.54, "{near:?}");
        assert!(far.start < 0.1 && far.start > 0.08 && far.end > 0.4 && far.end < 0.5, "{far:?}");
        assert_eq!(range(&[0.0, f64::NAN]), None);
    }

    #[test]
    fn a_bit_width_has_one_colour() {
        assert_eq!(["w4a4", "w4a2", "mixed", "full precision"].map(whole), [Some(4), None, None, None]);
        assert_eq!(colour(whole("mixed")), Colour::Ink);
        let colours: Vec<Colour> = (2..=8).map(|bits| colour(Some(bits))).collect();
        assert!(colours.iter().enumerate().all(|(place, one)| !colours[..place].contains(one)), "{colours:?}");
    }

    #[test]
    fn pictures_show_each_bit_width_and_each_tensor() {
        let mut history = History::default();
        assert!(history.loss("indicators").is_none() && history.step_sizes("indicators").is_none());
        for step in 1..=40 {
            let pass = |bits: &str, loss| Pass { bits: bits.into(), loss, accuracy: 0.5 };
            let size = |tensor: &str, bits, value| Size { layer: "conv1".into(), tensor: tensor.into(), bits, value };
            history.add(Record {
                step,
                passes: vec![pass("w4a4", 1.0), pass("w2a2", 2.0)],
                step_sizes: vec![size("weight", 4, Some(0.1)), size("weight", 2, Some(0.4)), size("act", 4, None)],
                ..Record::default()
            });
        }
        let svg = |picture: Option<Picture>| picture.unwrap().svg().unwrap();
        let loss = svg(history.loss("indicators"));
        assert!(loss.contains("w4a4") && loss.contains("w2a2") && !loss.contains("validation"));
        let sizes = svg(history.step_sizes("indicators"));
        for words in ["conv1, weights", "4 bits", "2 bits"] {
            assert!(sizes.contains(words), "{words}");
        }
        assert!(!sizes.contains("conv1, activations"), "there is nothing to draw");
        let measured = Measured { accuracy: 0.5, top5: 1.0, loss: None, images: 8, best: true };
        history.add(Record { step: 40, validation: Some(measured), ..Record::default() });
        assert!(svg(history.loss("indicators")).contains("accuracy on validation images"));
    }
}
