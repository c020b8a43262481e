//! Arguments that several commands share: the network, the accounting, `--set`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use limpq_core::graph::{self, DescribedError, Graph, GraphError, Shape};
use limpq_core::registry::nearest;
use limpq_core::search::{Accounting, RisingIndicators};
use limpq_core::settings::Setting;

/// Largest height and width of images, so that products of sizes are far from overflow.
const LARGEST_SIDE: usize = 1 << 14;
const MOST_CLASSES: u64 = 1 << 24;

/// Shape of the images and number of classes.
#[derive(Debug, clap::Args)]
pub struct Network {
    /// Shape of one image: channels, height and width [default: from the indicators' or ONNX file, else 3x224x224]
    #[arg(long, value_name = "CxHxW", value_parser = image)]
    pub input: Option<Shape>,
    /// Number of classes [default: from the indicators' or ONNX file, else 1000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MOST_CLASSES))]
    pub classes: Option<u64>,
}

/// ImageNet's.
const CLASSES: usize = 1000;

/// Input shape of ImageNet networks.
fn imagenet() -> Shape {
    Shape::new(3, 224, 224).expect("no side is empty")
}

impl Network {
    /// The graph of a registered model, or of an ONNX file.
    ///
    /// # Errors
    /// An unknown model or option, or an input that does not fit.
    pub fn graph(&self, model: &str, options: &toml::Table) -> anyhow::Result<Graph> {
        let (name, mut all) = named(model);
        all.extend(options.clone());
        let own = graph::model(name, &all)?;
        let input = match self.input {
            Some(input) => input,
            None => own.own_input()?.unwrap_or_else(imagenet),
        };
        let classes = match self.classes {
            Some(classes) => usize::try_from(classes)?,
            None => own.own_classes(input)?.unwrap_or(CLASSES),
        };
        match graph::described(name, &all, input, classes) {
            Err(DescribedError::Graph(error @ GraphError::Operator { .. })) => {
                Err(anyhow::Error::new(error).context(format!("{model} cannot be built for {input} images")))
            }
            other => Ok(other?),
        }
    }
}

/// A model by name, or by the path of an ONNX file: `net.onnx` is the model `onnx` with that path.
pub fn named(model: &str) -> (&str, toml::Table) {
    let mut options = toml::Table::new();
    match model.ends_with(".onnx") {
        false => (model, options),
        true => {
            options.insert("path".to_owned(), model.into());
            ("onnx", options)
        }
    }
}

fn image(text: &str) -> Result<Shape, String> {
    let shape: Shape = text.parse().map_err(|error: limpq_core::graph::GraphError| error.to_string())?;
    let Shape { channels, height, width } = shape;
    match [channels, height, width].into_iter().find(|&side| side > LARGEST_SIDE) {
        Some(side) => Err(format!("channels, height and width must be 1..={LARGEST_SIDE}, got {side}")),
        None if channels_last(shape) => Err(format!(
            "that is {channels} channels of {height} rows and {width} columns; channels come first: for images of {channels} rows, \
             {height} columns and {width} channels write {width}x{channels}x{height}"
        )),
        None => Ok(shape),
    }
}

/// Whether a shape is written with channels last, `224x224x3`, as in TensorFlow and NumPy. It could also mean images
/// one or three columns wide, but these networks are not for such images.
fn channels_last(Shape { channels, height, width }: Shape) -> bool {
    channels > 4 && height > width && (matches!(width, 1 | 3) || width == 4 && channels == height)
}

/// Reads `--accounting`.
pub fn accounting() -> impl TypedValueParser<Value = Accounting> {
    PossibleValuesParser::new(["exact", "limpq"]).try_map(|name| name.parse::<Accounting>())
}

/// Reads `--rising-indicators`.
pub fn rising_indicators() -> impl TypedValueParser<Value = RisingIndicators> {
    PossibleValuesParser::new(["allow", "forbid"]).try_map(|name| name.parse::<RisingIndicators>())
}

/// The values of `--set`: `KEY=VALUE` with a dotted key and a TOML value; a value that is not TOML is text.
#[derive(Clone, Debug, Default)]
pub struct Settings(toml::Table);

impl From<toml::Table> for Settings {
    fn from(table: toml::Table) -> Self {
        Self(table)
    }
}

impl Settings {
    /// From the arguments; later ones win.
    ///
    /// # Errors
    /// An argument that is not `KEY=VALUE`.
    pub fn new(arguments: &[String]) -> anyhow::Result<Self> {
        let mut all = toml::Table::new();
        Setting::parse_all(arguments)?.iter().for_each(|setting| setting.lay_over(&mut all));
        Ok(Self(all))
    }

    /// All settings as one table.
    pub fn into_table(self) -> toml::Table {
        self.0
    }

    /// Removes and returns the table under a key such as `solver`; empty if nothing was set there.
    ///
    /// # Errors
    /// When the key holds a value.
    pub fn take(&mut self, key: &str) -> anyhow::Result<toml::Table> {
        match self.0.remove(key) {
            None => Ok(toml::Table::new()),
            Some(toml::Value::Table(table)) => Ok(table),
            Some(value) => {
                anyhow::bail!("--set {key}={value}: {key:?} has options; set one of them, {key}.OPTION={value}")
            }
        }
    }

    /// Checks that every setting has been used.
    ///
    /// # Errors
    /// Names the first that was not, and the known keys.
    pub fn finish(&self, known: &[&str]) -> anyhow::Result<()> {
        let Some(key) = self.0.keys().next() else { return Ok(()) };
        let hint = nearest(key, known.iter().copied()).map(|near| format!(" (did you mean {near:?}?)"));
        let known: Vec<_> = known.iter().map(|key| format!("{key}.OPTION=VALUE")).collect();
        anyhow::bail!("--set: unknown key {key:?}{}; there are: {}", hint.unwrap_or_default(), known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> anyhow::Result<Settings> {
        Settings::new(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn channels_that_come_last_are_refused() {
        for (text, right) in [
            ("224x224x3", "3x224x224"),
            ("32x32x3", "3x32x32"),
            ("320x240x3", "3x320x240"),
            ("28x28x1", "1x28x28"),
            ("64x64x4", "4x64x64"),
        ] {
            let error = image(text).unwrap_err();
            assert!(error.contains("channels come first") && error.ends_with(&format!("write {right}")), "{error}");
        }
        for text in
            ["3x224x224", "1x28x28", "4x64x64", "64x8x8", "64x1x1", "128x4x4", "3x3x3", "3x7x3", "256x3x3", "12x16x4"]
        {
            assert_eq!(image(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for wrong in ["width", "=3", "a b=3", "a..b=3"] {
            assert!(settings(&[wrong]).unwrap_err().to_string().contains(wrong), "{wrong}");
        }
        let mut set = settings(&["solvr.gap=1", "model=3"]).unwrap();
        assert!(set.take("model").unwrap_err().to_string().contains("model.OPTION=3"));
        let error = set.finish(&["model", "solver"]).unwrap_err().to_string();
        assert!(error.contains("\"solvr\" (did you mean \"solver\"?)"), "{error}");
    }
}
