//! The table of a study: mean and standard deviation over seeds for each variant.

use super::super::{
    files::{self, csv},
    table::{figure, table},
};
use limpq_core::run::{NetworkResult, Summary};
use serde::Serialize;
use std::{io::Write, path::Path};

/// The format of a file.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Json,
    Csv,
    Markdown,
}

impl Form {
    /// By the file's extension.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some("md") => Ok(Self::Markdown),
            _ => anyhow::bail!(
                "--out {}: the name must end in .json (everything), .csv or .md (the table)",
                path.display()
            ),
        }
    }
}

/// A whole study.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Name of the study.
    pub study: String,
    /// Its runs.
    pub cells: Vec<Cell>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub variant: String,
    pub seed: u64,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// The result of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

impl Cell {
    pub fn new(variant: &str, seed: u64, result: Result<Summary, String>) -> Self {
        let (summary, left_out) = result.map_or_else(|reason| (None, Some(reason)), |summary| (Some(summary), None));
        Self { variant: variant.to_owned(), seed, left_out, summary }
    }
}

/// Mean and standard deviation of a sample; with fewer than two values there is no deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    deviation: Option<f64>,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)?;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) })
    }

    /// Formatted with this many decimals.
    fn shown(self, decimals: usize) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.decimals$} ± {deviation:.decimals$}", self.mean),
            None => format!("{:.decimals$}", self.mean),
        }
    }
}

/// A column: heading, number of decimals (`None`: five digits), and its value for a run.
type Column<'a> = (String, Option<usize>, Box<dyn Fn(&Summary) -> Option<f64> + 'a>);

fn full(summary: &Summary) -> Option<&NetworkResult> {
    summary.networks.first()
}

fn found(summary: &Summary) -> Option<&NetworkResult> {
    summary.networks.get(1)
}

fn uniform(summary: &Summary) -> Option<&NetworkResult> {
    summary.networks.iter().find(|network| network.name.starts_with("uniform"))
}

fn percent(network: Option<&NetworkResult>) -> Option<f64> {
    Some(100.0 * network?.score.accuracy)
}

impl Report {
    fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.cells.iter().filter_map(|cell| cell.summary.as_ref())
    }

    /// Names of the variants with a result, in order.
    fn variants(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.cells.iter().filter(|cell| cell.summary.is_some()).map(|cell| cell.variant.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn of<'a>(&'a self, variant: &'a str) -> impl Iterator<Item = &'a Summary> {
        self.cells.iter().filter(move |cell| cell.variant == variant).filter_map(|cell| cell.summary.as_ref())
    }

    fn columns(&self) -> Vec<Column<'static>> {
        let mut columns: Vec<Column> = vec![
            ("full precision, %".into(), Some(2), Box::new(|s| percent(full(s)))),
            ("found, %".into(), Some(2), Box::new(|s| percent(found(s)))),
            ("uniform, %".into(), Some(2), Box::new(|s| percent(uniform(s)))),
            // The difference is taken per seed, so that variation between seeds cancels.
            ("found - uniform".into(), Some(2), Box::new(|s| Some(percent(found(s))? - percent(uniform(s))?))),
            ("loss".into(), Some(4), Box::new(|s| Some(found(s)?.score.loss))),
        ];
        let mut budgets: Vec<(String, &str)> = vec![];
        for budget in self.summaries().flat_map(|summary| &summary.budgets) {
            if !budgets.iter().any(|(name, _)| *name == budget.name) {
                budgets.push((budget.name.clone(), budget.unit));
            }
        }
        for (name, unit) in budgets {
            let heading = format!("{name}, {unit}");
            let used = move |s: &Summary| Some(s.budgets.iter().find(|budget| budget.name == name)?.used);
            columns.push((heading, None, Box::new(used)));
        }
        columns
    }

    fn markdown(&self) -> String {
        let columns = self.columns();
        let headings: Vec<String> = columns.iter().map(|(name, ..)| format!(">{name}")).collect();
        let mut head = vec!["variant", ">seeds"];
        head.extend(headings.iter().map(String::as_str));
        let mut rows = table(&head);
        for variant in self.variants() {
            let mut row = vec![variant.to_owned(), self.of(variant).count().to_string()];
            for (_, decimals, number) in &columns {
                let numbers: Vec<f64> = self.of(variant).filter_map(number).collect();
                row.push(match (Spread::of(&numbers), decimals) {
                    (None, _) => "-".to_owned(),
                    (Some(spread), Some(decimals)) => spread.shown(*decimals),
                    (Some(spread), None) => figure(spread.mean),
                });
            }
            rows.add_row(row);
        }
        rows.to_string()
    }

    fn notes(&self) -> String {
        let mut notes = String::new();
        if let Some(summary) = self.summaries().next() {
            let images = full(summary).map_or(0, |network| network.score.images);
            notes += &format!(
                "Mean ± standard deviation over seeds, {images} test images, accounting {}.\n",
                summary.accounting
            );
        }
        for cell in &self.cells {
            if let Some(reason) = &cell.left_out {
                notes += &format!("left out: {}, seed {}: {reason}\n", cell.variant, cell.seed);
            }
        }
        notes
    }

    /// Prints the table, and what is missing in it.
    pub fn print(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.summaries().next().is_some() {
            writeln!(out, "{}\n", self.markdown())?;
        }
        Ok(write!(out, "{}", self.notes())?)
    }

    /// Writes one file.
    pub fn write(&self, path: &Path, form: Form) -> anyhow::Result<()> {
        match form {
            Form::Json => files::write_json(path, self)?,
            Form::Csv => files::write(path, self.csv()?.as_bytes())?,
            Form::Markdown => {
                files::write(path, format!("{}\n\n{}", self.markdown(), self.notes()).as_bytes())?;
            }
        }
        Ok(())
    }

    fn csv(&self) -> anyhow::Result<String> {
        let columns = self.columns();
        let mut head = vec!["variant".to_owned(), "seeds".to_owned()];
        head.extend(columns.iter().flat_map(|(name, ..)| [format!("{name} mean"), format!("{name} deviation")]));
        let rows = self.variants().into_iter().map(|variant| {
            let mut row = vec![variant.to_owned(), self.of(variant).count().to_string()];
            for (_, _, number) in &columns {
                let spread = Spread::of(&self.of(variant).filter_map(number).collect::<Vec<_>>());
                let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                row.extend([text(spread.map(|s| s.mean)), text(spread.and_then(|s| s.deviation))]);
            }
            row
        });
        csv(&head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_worked_by_hand() {
        // (2 + 4 + 9) / 3 = 5; (9 + 1 + 16) / 2 = 13.
        let spread = Spread::of(&[2.0, 4.0, 9.0]).unwrap();
        assert_eq!(spread, Spread { mean: 5.0, deviation: Some(13f64.sqrt()) });
        assert_eq!(spread.shown(2), "5.00 ± 3.61");
        assert_eq!(Spread::of(&[2.0]).unwrap().shown(1), "2.0");
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn forms_go_by_extension() {
        assert!(matches!(Form::of(Path::new("a/b.MD")), Ok(Form::Markdown)));
        let error = Form::of(Path::new("b.txt")).unwrap_err().to_string();
        assert!(error.contains("--out b.txt: the name must end in .json"), "{error}");
    }
}
