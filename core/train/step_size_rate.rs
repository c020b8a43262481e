//! The learning rate of quantization parameters, if it differs from that of the weights.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt};

/// The learning rate of quantization parameters: step sizes, and whatever else a quantizer learns. In a config it is a
/// number, or a factor such as `"10x"`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum StepSizeRate {
    /// That of the weights.
    #[default]
    Same,
    /// This value in place of [`super::Recipe::learning_rate`], with the same schedule.
    Absolute(f64),
    /// This factor of the learning rate of the weights.
    Factor(f64),
}

impl StepSizeRate {
    /// The factor of the learning rate of the weights, whose highest value is `learning_rate`.
    pub fn factor(self, learning_rate: f64) -> f64 {
        match self {
            Self::Same => 1.0,
            Self::Absolute(own) => own / learning_rate,
            Self::Factor(factor) => factor,
        }
    }

    /// Whether a config need not mention it.
    pub(super) fn is_same(&self) -> bool {
        *self == Self::Same
    }
}

impl Serialize for StepSizeRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same => serializer.serialize_str("1x"),
            Self::Absolute(rate) => serializer.serialize_f64(*rate),
            Self::Factor(factor) => serializer.serialize_str(&format!("{factor}x")),
        }
    }
}

impl<'de> Deserialize<'de> for StepSizeRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

/// Reads both forms.
struct Form;

impl de::Visitor<'_> for Form {
    type Value = StepSizeRate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a positive number such as 0.001, or a factor of learning_rate such as \"10x\"")
    }

    fn visit_f64<E: de::Error>(self, rate: f64) -> Result<StepSizeRate, E> {
        match rate.is_finite() && rate > 0.0 {
            true => Ok(StepSizeRate::Absolute(rate)),
            false => Err(E::invalid_value(de::Unexpected::Float(rate), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, rate: i64) -> Result<StepSizeRate, E> {
        self.visit_f64(rate as f64)
    }

    fn visit_u64<E: de::Error>(self, rate: u64) -> Result<StepSizeRate, E> {
        self.visit_f64(rate as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StepSizeRate, E> {
        // Only plain numbers: Rust would also read signs and "inf".
        let number = text.strip_suffix('x').filter(|number| number.starts_with(|first: char| first.is_ascii_digit()));
        let factor = number.and_then(|number| number.parse::<f64>().ok());
        match factor.filter(|factor| factor.is_finite() && *factor > 0.0) {
            Some(factor) => Ok(StepSizeRate::Factor(factor)),
            None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl JsonSchema for StepSizeRate {
    fn schema_name() -> Cow<'static, str> {
        "StepSizeRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string", "pattern": "^[0-9][0-9.eE+-]*x$" },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::train::{Recipe, StepSizeRate};

    fn read(value: &str) -> Result<Recipe, String> {
        let table = format!("step_size_learning_rate = {value}").parse().unwrap();
        crate::options::parse(&table).map_err(|error| error.to_string())
    }

    #[test]
    fn is_a_number_or_a_factor() {
        for (value, wanted) in [
            ("0.001", StepSizeRate::Absolute(0.001)),
            ("2", StepSizeRate::Absolute(2.0)),
            ("\"10x\"", StepSizeRate::Factor(10.0)),
            ("\"0.5x\"", StepSizeRate::Factor(0.5)),
            ("\"1e-3x\"", StepSizeRate::Factor(1e-3)),
        ] {
            let recipe = read(value).unwrap();
            assert_eq!(recipe.step_size_learning_rate, wanted, "{value}");
            // And is written as it is read.
            let written = toml::Table::try_from(&recipe).unwrap();
            assert_eq!(crate::options::parse::<Recipe>(&written).unwrap(), recipe, "{value}");
        }
        assert_eq!(Recipe::default().step_size_learning_rate, StepSizeRate::Same);
        let written = toml::Table::try_from(Recipe::default()).unwrap();
        assert!(!written.contains_key("step_size_learning_rate"), "hashes of older configs stay what they were");
    }

    #[test]
    fn anything_else_is_refused() {
        for value in
            ["0", "-0.1", "nan", "inf", "true", "[]", "\"x\"", "\"10\"", "\"-1x\"", "\"0x\"", "\"infx\"", "\"1 x\""]
        {
            let error = read(value).unwrap_err();
            assert!(error.starts_with("step_size_learning_rate: "), "{value}: {error}");
            assert!(error.contains("a factor of learning_rate such as \"10x\""), "{value}: {error}");
        }
    }

    #[test]
    fn factors_are_of_the_highest_learning_rate() {
        let of = |rate: StepSizeRate| rate.factor(0.01);
        assert_eq!(of(StepSizeRate::Same), 1.0);
        assert_eq!(of(StepSizeRate::Factor(10.0)), 10.0);
        assert!((of(StepSizeRate::Absolute(0.002)) - 0.2).abs() < 1e-12);
    }
}
