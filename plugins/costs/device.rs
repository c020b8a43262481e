//! Data-sheet figures of a device, for [`super::LatencyRoofline`]. Presets are in `devices/`, each with its source.

use limpq_core::input;
use limpq_core::registry::nearest;
use limpq_core::search::BitWidth;
use serde::Deserialize;
use std::num::NonZeroU64;
use std::path::Path;

/// The presets, each with its file.
pub const PRESETS: [(&str, &str); 4] = [
    ("a100", include_str!("devices/a100.toml")),
    ("h100", include_str!("devices/h100.toml")),
    ("jetson_agx_orin", include_str!("devices/jetson_agx_orin.toml")),
    ("t4", include_str!("devices/t4.toml")),
];

/// A device, in integers so that latencies are exact.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The document with the figures.
    pub source: String,
    /// When it was published.
    pub date: String,
    /// Memory bandwidth in 10^6 bytes per second.
    pub megabytes_per_second: NonZeroU64,
    /// Time of every layer besides computing and moving data, in nanoseconds; data sheets do not give it.
    #[serde(default)]
    pub overhead_ns: u64,
    /// The bit-widths that it computes with.
    pub native: Vec<Native>,
}

/// A pair of bit-widths that the device has arithmetic for.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Native {
    /// Bits of a weight.
    pub weight_bits: BitWidth,
    /// Bits of an activation.
    pub act_bits: BitWidth,
    /// Peak performance in 10^9 operations per second, two per multiply-accumulate.
    pub giga_ops_per_second: NonZeroU64,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// None was named.
    #[error("no device is given; set device to one of {0}, or to the path of a description that ends in .toml")]
    None(String),
    /// No preset of this name.
    #[error(
        "no device is called {name:?}{nearest}; there are: {known}, or give the path of a description that ends in .toml"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// A name that is close, in words.
        nearest: String,
        /// All presets.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the device description {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is not a description.
    #[error("{path} is not a device description: {message}")]
    Description {
        /// The file.
        path: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// It has no arithmetic.
    #[error(
        "{path}: native is empty; give at least one pair such as {{ weight_bits = 8, act_bits = 8, giga_ops_per_second = 130_000 }}"
    )]
    NoNative {
        /// The file.
        path: String,
    },
}

impl Device {
    /// A preset by name, or the description in a file that ends in `.toml`.
    ///
    /// # Errors
    /// An unknown name lists the presets; a wrong description points at line and column.
    pub fn find(name: &str) -> Result<Self, DeviceError> {
        if let Some((preset, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
            return Self::parse(preset, text);
        }
        let names = PRESETS.map(|(preset, _)| preset);
        if name.is_empty() {
            return Err(DeviceError::None(names.join(", ")));
        }
        if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
            let nearest = nearest(name, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            return Err(DeviceError::Unknown { name: name.to_owned(), nearest, known: names.join(", ") });
        }
        let text =
            input::read_text(Path::new(name)).map_err(|error| DeviceError::Read { path: name.to_owned(), error })?;
        Self::parse(name, &text)
    }

    fn parse(path: &str, text: &str) -> Result<Self, DeviceError> {
        let wrong = |message: String| DeviceError::Description {
            path: path.to_owned(),
            message: message.trim_end().to_owned(),
        };
        input::toml(text).map_err(wrong)?;
        let device: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        match device.native.is_empty() {
            true => Err(DeviceError::NoNative { path: path.to_owned() }),
            false => Ok(device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_a_source_and_compute_slower_on_more_bits() {
        for (name, _) in PRESETS {
            let device = Device::find(name).unwrap();
            assert!(device.source.contains("https://") && device.date.starts_with("20"), "{name}");
            assert_eq!(device.overhead_ns, 0, "{name}: data sheets give none");
            let slower = |pair: &[Native]| {
                pair[0].weight_bits < pair[1].weight_bits && pair[0].giga_ops_per_second > pair[1].giga_ops_per_second
            };
            assert!(device.native.windows(2).all(slower), "{name}");
        }
    }

    #[test]
    fn an_unknown_device_lists_the_presets() {
        let error = Device::find("a10").unwrap_err().to_string();
        assert_eq!(
            error,
            "no device is called \"a10\" (did you mean \"a100\"?); there are: a100, h100, jetson_agx_orin, t4, or give \
             the path of a description that ends in .toml"
        );
    }

    #[test]
    fn a_wrong_description_is_pointed_at() {
        let good = PRESETS[0].1;
        let error = |text: &str| Device::parse("my.toml", text).unwrap_err().to_string();
        let wrong = error(&good.replace("megabytes", "gigabytes"));
        assert!(
            wrong.starts_with("my.toml is not a device description: TOML parse error at line 5, column 1"),
            "{wrong}"
        );
        assert!(wrong.contains("unknown field `gigabytes_per_second`"), "{wrong}");
        assert!(error(&good.replace("1_555_000", "0")).contains("line 5"));
        assert!(error(&good.replace("weight_bits = 4", "weight_bits = 0")).contains("bit-width must be 1..=32, got 0"));
        let none = good.split("native").next().unwrap().to_owned() + "native = []";
        assert!(
            error(&none).starts_with("my.toml: native is empty; give at least one pair such as { weight_bits = 8,")
        );
        let missing = Device::find("/nowhere/my.toml").unwrap_err().to_string();
        assert!(missing.starts_with("cannot read the device description /nowhere/my.toml: "), "{missing}");
    }
}
