//! Shape of one image or feature map.

use super::GraphError;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Channels, height and width of one sample; written `3x224x224`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Shape {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// A shape with no empty dimension.
    pub fn new(channels: usize, height: usize, width: usize) -> Result<Self, GraphError> {
        for (what, value) in [("channels", channels), ("height", height), ("width", width)] {
            if value == 0 {
                return Err(GraphError::Zero { what });
            }
        }
        Ok(Self { channels, height, width })
    }

    /// Number of values in one sample.
    pub fn elements(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}x{}x{}", self.channels, self.height, self.width))
    }
}

impl FromStr for Shape {
    type Err = GraphError;

    fn from_str(text: &str) -> Result<Self, GraphError> {
        let wrong = || GraphError::ShapeText { text: text.to_owned() };
        let sides: Vec<usize> =
            text.split('x').map(|side| side.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match sides[..] {
            [channels, height, width] => Self::new(channels, height, width),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Shape {
    type Error = GraphError;

    fn try_from(text: String) -> Result<Self, GraphError> {
        text.parse()
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let shape: Shape = "3x224x160".parse().unwrap();
        assert_eq!((shape.channels, shape.height, shape.width), (3, 224, 160));
        assert_eq!(shape.to_string(), "3x224x160");
    }

    #[test]
    fn says_what_is_wrong() {
        for text in ["", "3", "3x224", "3x224x224x1", "ax2x3", "-1x2x3"] {
            let error = text.parse::<Shape>().unwrap_err().to_string();
            assert!(error.contains("CHANNELSxHEIGHTxWIDTH"), "{error}");
        }
        assert_eq!("3x0x2".parse::<Shape>().unwrap_err().to_string(), "height must be at least 1, got 0");
    }
}
