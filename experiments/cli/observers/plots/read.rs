//! Reads the stages of `metrics.jsonl`, within bounds: a file beyond them is faulty or made up, and would take for ever
//! to draw.

use super::{
    super::{
        metrics::{self, Record},
        stage_file,
    },
    History,
};
use anyhow::{Context, bail, ensure};
use limpq_core::search::BitWidth;
use std::path::Path;

const MOST_STAGES: usize = 200;
/// Kinds of passes: each bit-width, mixed, full precision.
const MOST_PASSES: usize = 64;
const MOST_TENSORS: usize = 10_000;
const LONGEST_NAME: usize = 1_000;
const LAST_STEP: usize = 1_000_000_000_000;
/// Most points of all lines together.
const MOST_POINTS: usize = 20_000_000;

/// The stages of a run, in the order of first appearance.
#[derive(Default)]
pub(super) struct Histories {
    pub stages: Vec<(String, History)>,
    /// A warning about lines that are not records.
    pub odd: Option<String>,
    points: usize,
}

impl Histories {
    /// Those of a run, or only the stage that is named.
    pub fn read(folder: &Path, only: Option<&str>) -> anyhow::Result<Self> {
        let (path, shown) = (folder.join(metrics::NAME), folder.display());
        let lines = metrics::lines(&path);
        let lines =
            lines.with_context(|| format!("cannot read {}; is {shown} the folder of a run?", path.display()))?;
        let (mut read, mut strange, mut first) = (Self::default(), 0usize, 0usize);
        for (line, number) in lines.zip(1..) {
            match line.with_context(|| format!("cannot read {}", path.display()))? {
                Some(record) if only.is_none_or(|only| record.stage == only) => {
                    read.add(*record).with_context(|| format!("{}, line {number}", path.display()))?;
                }
                Some(_) => {}
                None => {
                    strange += 1;
                    first = if first == 0 { number } else { first };
                }
            }
        }
        if strange > 0 {
            let lines = if strange == 1 { "1 line holds".to_owned() } else { format!("{strange} lines hold") };
            read.odd = Some(format!("{}: {lines} no record and are in no plot, line {first} first", path.display()));
        }
        Ok(read)
    }

    fn add(&mut self, record: Record) -> anyhow::Result<()> {
        plausible(&record)?;
        let place = match self.stages.iter().position(|(stage, _)| *stage == record.stage) {
            Some(place) => place,
            None => {
                ensure!(self.stages.len() < MOST_STAGES, "no run has more than {MOST_STAGES} stages");
                self.stages.push((record.stage.clone(), History::default()));
                self.stages.len() - 1
            }
        };
        self.points += record.passes.len() + record.step_sizes.len() + 1;
        ensure!(self.points <= MOST_POINTS, "more than {MOST_POINTS} points cannot be drawn");
        let history = &mut self.stages[place].1;
        history.add(record);
        let (passes, tensors) = (history.loss.0.len(), history.tensors.len());
        ensure!(passes <= MOST_PASSES, "no stage has more than {MOST_PASSES} kinds of passes");
        ensure!(tensors <= MOST_TENSORS, "step sizes of more than {MOST_TENSORS} tensors cannot be drawn");
        Ok(())
    }
}

/// Checks that a run can have written the record.
fn plausible(record: &Record) -> anyhow::Result<()> {
    let Record { stage, step, passes, validation, step_sizes, .. } = record;
    if stage_file(stage).is_none() {
        let shown: String = stage.chars().take(100).collect();
        bail!("the stage {shown:?} is not a plain file name (letters, digits, spaces, - _ .)");
    }
    ensure!(*step <= LAST_STEP, "no training has {step} steps");
    let share = |share: f64| (0.0..=1.0).contains(&share);
    let accuracies = passes.iter().map(|pass| pass.accuracy).chain(validation.iter().map(|found| found.accuracy));
    for accuracy in accuracies {
        ensure!(share(accuracy), "an accuracy must be in 0..=1, got {accuracy}");
    }
    let names = passes.iter().map(|pass| &pass.bits);
    let names = names.chain(step_sizes.iter().flat_map(|size| [&size.layer, &size.tensor]));
    for name in names {
        ensure!(name.len() <= LONGEST_NAME, "a name of {} bytes cannot be that of a layer or pass", name.len());
    }
    for size in step_sizes {
        BitWidth::new(size.bits)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::draw, *};

    const LINE: &str = r#"{"stage":"pretrain","step":1,"passes":[{"bits":"w4a4","loss":1.5,"accuracy":0.5}],"time":0}"#;

    fn run(lines: &[String]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("run")).unwrap();
        std::fs::write(home.path().join("run").join(metrics::NAME), lines.join("\n") + "\n").unwrap();
        home
    }

    /// The number of plots drawn from these lines, and the warning.
    fn drawn(lines: &[String]) -> (usize, Option<String>) {
        let home = run(lines);
        let (written, odd) = draw(&home.path().join("run")).unwrap();
        assert!(written.iter().all(|path| path.is_file() && path.parent() == Some(&home.path().join("run/plots"))));
        (written.len(), odd)
    }

    /// The error for a file that is refused, and that nothing was drawn.
    fn refused(lines: &[String]) -> String {
        let home = run(lines);
        let error = format!("{:#}", draw(&home.path().join("run")).unwrap_err());
        for folder in ["", "run"] {
            assert_eq!(std::fs::read_dir(home.path().join(folder)).unwrap().count(), 1, "{error}");
        }
        error
    }

    #[test]
    fn what_no_run_writes_is_refused_with_its_line() {
        let with = |from: &str, to: &str| {
            assert!(LINE.contains(from));
            refused(&[LINE.to_owned(), LINE.replace(from, to)])
        };
        let sizes = |layer: &str, bits: &str| {
            format!(
                "\"step_sizes\":[{{\"layer\":\"{layer}\",\"tensor\":\"act\",\"bits\":{bits},\"value\":1}}],\"time\""
            )
        };
        for (error, why) in [
            (with("pretrain", "../../x"), "the stage \"../../x\" is not a plain file name"),
            (with("pretrain", "/tmp/x"), "the stage \"/tmp/x\" is not a plain"),
            (with("pretrain", "a\\u001b[31m"), "the stage \"a\\u{1b}[31m\" is not a plain"),
            (with("pretrain", &"x".repeat(1 << 20)), "xxx\" is not a plain"),
            (with("\"step\":1", "\"step\":18446744073709551615"), "no training has 18446744073709551615 steps"),
            (with("0.5", "1e300"), "an accuracy must be in 0..=1"),
            (with("w4a4", &"w".repeat(1 << 20)), "a name of 1048576 bytes cannot be that of a layer or pass"),
            (with("\"time\"", &sizes("conv1", "0")), "bit-width must be 1..=32, got 0"),
            (with("\"time\"", &sizes("conv1", "18446744073709551615")), "got 18446744073709551615"),
            (with("\"time\"", &sizes(&"c".repeat(1 << 20), "4")), "a name of 1048576 bytes"),
        ] {
            assert!(error.contains("metrics.jsonl, line 2: ") && error.contains(why), "{error}");
        }
        let many = |count: usize, from: &str| -> Vec<String> {
            (0..count).map(|number| LINE.replace(from, &format!("{from}{number}"))).collect()
        };
        let error = refused(&many(MOST_STAGES + 1, "pretrain"));
        assert!(error.ends_with("line 201: no run has more than 200 stages"), "{error}");
        let error = refused(&many(MOST_PASSES + 1, "w4a4"));
        assert!(error.ends_with("line 65: no stage has more than 64 kinds of passes"), "{error}");
    }

    /// A link leads out of the run's folder: nothing is drawn or removed through it.
    #[cfg(unix)]
    #[test]
    fn links_are_not_drawn_through() {
        let home = run(&[LINE.to_owned()]);
        let (out, plots) = (home.path().join("out"), home.path().join("run/plots"));
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("pretrain-step-sizes.svg"), "of somebody else").unwrap();
        std::os::unix::fs::symlink(&out, &plots).unwrap();
        let error = format!("{:#}", draw(&home.path().join("run")).unwrap_err());
        assert!(error.contains("plots is not a folder"), "{error}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_record_is_said() {
        let lines = [LINE, "", "{", r#"{"stage":"pretrain","step":-1,"time":0}"#, LINE].map(str::to_owned);
        let (written, odd) = drawn(&lines);
        assert_eq!(written, 2);
        assert!(odd.unwrap().ends_with("metrics.jsonl: 3 lines hold no record and are in no plot, line 2 first"));
        assert_eq!(drawn(&[LINE.to_owned()]), (2, None));
    }

    /// plotters makes ticks without end for an axis whose steps vanish against its values.
    #[test]
    fn values_of_any_size_are_drawn() {
        let pass = |loss: &str| LINE.replace("1.5", loss);
        let size = |bits: u64, value: &str| {
            let size = format!("{{\"layer\":\"<c\\u0000>\",\"tensor\":\"act\",\"bits\":{bits},\"value\":{value}}}");
            format!("{{\"stage\":\"indicators\",\"step\":{bits},\"step_sizes\":[{size}],\"time\":0}}")
        };
        for values in [
            ["1e38", "-1e38"],
            ["3.4e38", "3.39e38"],
            ["1e39", "-1e39"],
            ["1e300", "1e-300"],
            ["-1.7e308", "1.7e308"],
            ["5e-324", "1.7e308"],
            ["0", "-0.0"],
            ["1e16", "1.0000000000000002e16"],
        ] {
            let lines: Vec<String> = (1..).zip(values).map(|(bits, value)| size(bits, value)).collect();
            let steps = ["\"step\":999999999999", "\"step\":1000000000000"];
            let lines = lines.into_iter().chain(values.map(pass));
            let lines = lines.chain(steps.map(|step| LINE.replace("\"step\":1", step)));
            drawn(&lines.collect::<Vec<_>>());
        }
    }

    #[test]
    fn many_points_and_tensors_make_no_larger_a_picture() {
        let sizes = |step: usize| {
            let size =
                |layer: usize| format!("{{\"layer\":\"conv{layer}\",\"tensor\":\"weight\",\"bits\":4,\"value\":0.1}}");
            let sizes: Vec<String> = (0..100).map(size).collect();
            format!("{{\"stage\":\"pretrain\",\"step\":{step},\"step_sizes\":[{}],\"time\":0}}", sizes.join(","))
        };
        let points = (1..=50_000).map(|step| LINE.replace("\"step\":1", &format!("\"step\":{step}")));
        let lines: Vec<String> = points.chain((1..=1000).map(sizes)).collect();
        let home = run(&lines);
        let (written, _) = draw(&home.path().join("run")).unwrap();
        assert_eq!(written.len(), 4);
        // 100 lines of at most 300 points with about a dozen bytes each, and their panels.
        assert!(written.iter().all(|path| path.metadata().unwrap().len() < 2 << 20));
    }
}
