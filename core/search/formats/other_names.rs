//! Files of other programs may call layers otherwise; a graph knows such names ([`Graph::aliases`]).

use crate::graph::Graph;
use crate::search::{Indicators, IndicatorsError, LayerBits, LayerIndicators, Policy};
use std::collections::BTreeMap;

impl Indicators {
    /// The same under the graph's own names of layers.
    ///
    /// # Errors
    /// When a layer stands there under both names.
    pub fn in_names_of(self, graph: &Graph) -> Result<Self, IndicatorsError> {
        let renamed = |layers: BTreeMap<String, LayerIndicators>| {
            let mut by_name = BTreeMap::new();
            for (name, layer) in layers {
                let own = graph.own_name(&name).to_owned();
                if by_name.insert(own.clone(), layer).is_some() {
                    let why = format!("layer {own:?} stands there twice, under another name as well");
                    return Err(IndicatorsError::Format { path: "the file".to_owned(), why });
                }
            }
            Ok(by_name)
        };
        Ok(Self { layers: renamed(self.layers)?, spread: self.spread.map(renamed).transpose()?, ..self })
    }
}

impl Policy {
    /// The same under the graph's own names of layers.
    pub(super) fn in_names_of(self, graph: &Graph) -> Self {
        let own = |bits: LayerBits| LayerBits { layer: graph.own_name(&bits.layer).to_owned(), ..bits };
        Self { policy: self.policy.into_iter().map(own).collect(), ..self }
    }
}
