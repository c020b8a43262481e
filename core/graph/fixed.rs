//! Which layers are excluded from the search, and the bits that they keep.
//!
//! By default these are a model's first and last layer, which the literature keeps at 8 bits, and products of two
//! activations, as in attention. A config can replace the list.

use super::{Graph, GraphError, Second, fixed_bits};
use crate::{bits::Precision, registry::nearest};
use glob::Pattern;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, str::FromStr};

/// The first layer of a network.
const FIRST: &str = "@first";
/// The last layer of a network.
const LAST: &str = "@last";
/// The products of two activations.
const PRODUCTS: &str = "@products";

/// Layers that keep their bits: `@first`, `@last`, `@products` (those of two activations, as in attention), a name or a glob; 8
/// bits, or others after `=`: `fc=w4a8`.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedRule {
    layers: Pattern,
    bits: Option<Precision>,
}

/// All layers that keep their bits; with an empty list every layer is searched.
pub type FixedRules = Vec<FixedRule>;

impl FromStr for FixedRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layers, bits) = match text.split_once('=') {
            None => (text, None),
            Some((layers, bits)) => (layers, Some(bits.trim().parse().map_err(|error| format!("{text:?}: {error}"))?)),
        };
        let layers = layers.trim();
        if layers.is_empty() || layers.starts_with('@') && ![FIRST, LAST, PRODUCTS].contains(&layers) {
            return Err(format!(
                "{text:?} names no layers; allowed: {FIRST}, {LAST}, {PRODUCTS}, a layer's name or a glob"
            ));
        }
        let layers = Pattern::new(layers).map_err(|error| format!("{text:?}: {error}"))?;
        Ok(Self { layers, bits })
    }
}

impl fmt::Display for FixedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits {
            None => write!(f, "{}", self.layers),
            Some(bits) => write!(f, "{}={bits}", self.layers),
        }
    }
}

impl Serialize for FixedRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FixedRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Graph {
    /// Replaces the model's own choice of fixed layers. If several rules match a layer, the last one applies.
    ///
    /// # Errors
    /// A rule that no layer matches, a network without a layer that is left to search.
    pub fn fix(&mut self, rules: &[FixedRule]) -> Result<(), GraphError> {
        let layers = self.layers();
        layers.iter().for_each(|layer| self.nodes[layer.node].fixed = None);
        for rule in rules {
            let matched: Vec<_> = match rule.layers.as_str() {
                FIRST => layers.first().into_iter().collect(),
                LAST => layers.last().into_iter().collect(),
                PRODUCTS => layers.iter().filter(|layer| layer.second != Second::Weights).collect(),
                _ => layers.iter().filter(|layer| rule.layers.matches(&layer.name)).collect(),
            };
            if matched.is_empty() {
                let near = nearest(rule.layers.as_str(), layers.iter().map(|layer| layer.name.as_str()));
                let near = near.map(|near| format!("; nearest: {near}")).unwrap_or_default();
                return Err(GraphError::Fixed(format!("{rule} matches no layer of {}{near}", self.model)));
            }
            for layer in matched {
                self.nodes[layer.node].fixed = Some(rule.bits.unwrap_or_else(fixed_bits));
            }
        }
        if self.searchable().is_empty() {
            return Err(GraphError::Fixed("every layer keeps its bits, so that nothing is left to search".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Builder, Conv, Shape},
        ops::Matmul,
    };

    fn graph() -> Graph {
        let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).unwrap(), 5);
        let x = b.fixed_conv("stem", x, Conv::new(4, 3));
        let x = b.conv("a", x, Conv::new(4, 3));
        let x = b.conv("b", x, Conv::new(4, 3));
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    fn fixed(rules: &[&str]) -> Result<Vec<String>, String> {
        let rules: Vec<FixedRule> = rules.iter().map(|rule| rule.parse()).collect::<Result<_, _>>()?;
        let mut graph = graph();
        graph.fix(&rules).map_err(|error| error.to_string())?;
        Ok(graph.fixed().iter().map(|layer| format!("{}={}", layer.name, layer.fixed_bits)).collect())
    }

    #[test]
    fn a_list_replaces_what_the_model_says() {
        assert_eq!(fixed(&["@first", "@last"]).unwrap(), ["stem=w8a8", "fc=w8a8"]);
        assert_eq!(fixed(&["@last=w4a8"]).unwrap(), ["fc=w4a8"]);
        assert_eq!(fixed(&["[ab]=w2a2", "b"]).unwrap(), ["a=w2a2", "b=w8a8"], "the last rule holds");
        assert!(fixed(&[]).unwrap().is_empty());
    }

    #[test]
    fn products_of_activations_have_a_word_of_their_own() {
        let (mut b, x) = Builder::new("products", Shape::new(3, 8, 8).unwrap(), 5);
        let x = b.conv("a", x, Conv::new(4, 3));
        let x = b.apply("square", Matmul::default(), &[x, x]);
        b.fix(x);
        b.classifier("fc", x);
        let mut graph = b.finish().unwrap();
        let fixed = |graph: &Graph| graph.fixed().into_iter().map(|layer| layer.name).collect::<Vec<_>>();
        assert_eq!(fixed(&graph), ["square", "fc"]);
        graph.fix(&["@last".parse().unwrap()]).unwrap();
        assert_eq!(fixed(&graph), ["fc"], "a list without it opens them");
        graph.fix(&["@products=w4a8".parse().unwrap()]).unwrap();
        assert_eq!((fixed(&graph), graph.fixed()[0].fixed_bits), (vec!["square".to_owned()], "w4a8".parse().unwrap()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(fixed(&["stom"]).unwrap_err(), "option fixed: stom matches no layer of tiny; nearest: stem");
        assert!(fixed(&["@middle"]).unwrap_err().contains("allowed: @first, @last, @products, a layer"));
        assert!(fixed(&["fc=w0a8"]).unwrap_err().contains("bit-width must be 1..=32"));
        assert!(fixed(&["*"]).unwrap_err().contains("nothing is left to search"));
    }
}
