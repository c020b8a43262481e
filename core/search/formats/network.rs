//! The network that indicators were measured on, or a policy was found for: enough to build it again, and to
//! distinguish it from another one whose layers have the same names.

use crate::graph::{Graph, Layer, Shape, fixed_bits};
use serde::{Deserialize, Serialize};

/// The description of a network, besides the name of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecord {
    /// Options of the model, every default written out; `None` for a graph that was built by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<toml::Table>,
    /// Shape of one image.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
    /// Layers that are excluded from the search, in the network's order, with their bits if these are not 8: `fc=w4a8`.
    pub fixed: Vec<String>,
}

/// Two descriptions that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{recorded}, not {found}")]
pub struct Contradiction {
    /// The differing values in the record.
    pub recorded: String,
    /// The values of the other network.
    pub found: String,
}

impl NetworkRecord {
    /// The description of a graph.
    pub fn of(graph: &Graph) -> Self {
        Self {
            options: graph.options.clone(),
            input: graph.input,
            classes: graph.classes,
            fixed: graph.fixed().into_iter().map(fixed).collect(),
        }
    }

    /// Checks that a graph is the network of this record. Options that one of them does not know are not compared.
    ///
    /// # Errors
    /// Everything that differs, with both values.
    pub fn check(&self, graph: &Graph) -> Result<(), Contradiction> {
        self.agrees(&Self::of(graph))
    }

    /// Checks that two records are of one network.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn agrees(&self, other: &Self) -> Result<(), Contradiction> {
        let mut differing: Vec<[String; 2]> = vec![];
        let mut compare = |what: &str, recorded: String, found: String| {
            if recorded != found {
                differing.push([format!("{what} {recorded}"), format!("{what} {found}")]);
            }
        };
        // Where a file lies says nothing of what is in it; its hash does.
        let hash = |record: &Self| record.options.as_ref()?.get("sha256").cloned();
        let same_file = hash(self).is_some() && hash(self) == hash(other);
        for (key, recorded) in self.options.iter().flatten().filter(|(key, _)| !(same_file && *key == "path")) {
            if let Some(found) = other.options.as_ref().and_then(|options| options.get(key)) {
                compare(&format!("model.{key} ="), recorded.to_string(), found.to_string());
            }
        }
        compare("input", self.input.to_string(), other.input.to_string());
        compare("classes", self.classes.to_string(), other.classes.to_string());
        compare("fixed layers", self.fixed.join(" "), other.fixed.join(" "));
        match differing.is_empty() {
            true => Ok(()),
            false => {
                let side =
                    |side: usize| differing.iter().map(|pair| pair[side].as_str()).collect::<Vec<_>>().join(", ");
                Err(Contradiction { recorded: side(0), found: side(1) })
            }
        }
    }
}

/// A fixed layer with its bits, unless they are the default of fixed layers.
fn fixed(layer: Layer) -> String {
    match layer.fixed_bits == fixed_bits() {
        true => layer.name,
        false => format!("{}={}", layer.name, layer.fixed_bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Conv};

    fn graph(input: &str, classes: usize, options: &str) -> Graph {
        let (mut b, x) = Builder::new("tiny", input.parse().unwrap(), classes);
        let x = b.conv("body", x, Conv::new(4, 3));
        b.classifier("fc", x);
        let mut graph = b.finish().unwrap();
        graph.options = Some(options.parse().unwrap());
        graph
    }

    #[test]
    fn names_everything_that_differs_with_both_values() {
        let record = NetworkRecord::of(&graph("1x8x8", 10, "width = 8\nstem = 'small'"));
        assert_eq!(record.fixed, ["fc"]);
        record.check(&graph("1x8x8", 10, "width = 8\nstem = 'small'")).unwrap();
        let other = graph("3x8x8", 11, "width = 16\nstem = 'small'");
        let wanted = "model.width = 8, input 1x8x8, classes 10, not model.width = 16, input 3x8x8, classes 11";
        assert_eq!(record.check(&other).unwrap_err().to_string(), wanted);
    }

    #[test]
    fn options_that_are_not_known_are_not_compared() {
        let mut by_hand = graph("1x8x8", 10, "");
        by_hand.options = None;
        let record = NetworkRecord::of(&graph("1x8x8", 10, "width = 8"));
        record.check(&by_hand).unwrap();
        NetworkRecord::of(&by_hand).check(&graph("1x8x8", 10, "width = 8")).unwrap();
        record.check(&graph("1x8x8", 10, "width = 8\nactivation = 'relu'")).unwrap();
    }

    #[test]
    fn a_file_is_known_by_its_hash_and_not_by_its_place() {
        let record = NetworkRecord::of(&graph("1x8x8", 10, "path = 'a.onnx'\nsha256 = 'aa'"));
        record.check(&graph("1x8x8", 10, "path = 'other/b.onnx'\nsha256 = 'aa'")).unwrap();
        assert!(record.check(&graph("1x8x8", 10, "path = 'a.onnx'\nsha256 = 'bb'")).is_err());
    }

    #[test]
    fn json_keeps_it() {
        let record = NetworkRecord::of(&graph("1x8x8", 10, "width = 8\nslope = 0.5\nstem = 'small'"));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<NetworkRecord>(&text).unwrap(), record);
    }
}
