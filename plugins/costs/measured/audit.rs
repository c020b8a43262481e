//! A file of measurements against a network: what is missing, what is left over, what falls while bits rise.

use super::file::{Key, Signature, Subject, shown};
use super::{Measured, Quantity};
use limpq_core::graph::{Graph, Layer};
use limpq_core::registry::nearest;
use limpq_core::search::{BitWidth, Precision};
use serde::Serialize;
use std::collections::BTreeSet;

/// What is wrong between a file and a network.
#[derive(Debug, thiserror::Error)]
#[error("{}", shown(.0))]
pub struct MeasuredError(Vec<String>);

/// All there is to say about a file and a network.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// Entries with a number.
    pub measured: usize,
    /// Entries without one.
    pub blank: usize,
    /// Layers and bits that are needed and not known.
    pub missing: Vec<String>,
    /// How many are needed.
    pub needed: usize,
    /// Entries that fit no layer.
    pub unused: Vec<String>,
    /// Another network that the file says it was made for, and entries for a layer whose signature is another one.
    pub mismatched: Vec<String>,
    /// Numbers that fall while bits rise.
    pub falling: Vec<String>,
}

impl Measured {
    /// Whether the file fits the network. What is missing depends on the bits and is not looked at.
    ///
    /// # Errors
    /// Entries that fit no layer (unless allowed), signatures that are not the layer's, and, if asked for, numbers that fall.
    pub fn check(&self, graph: &Graph) -> Result<(), MeasuredError> {
        let mut faults = self.mismatched(graph);
        if !self.options.allow_unused {
            faults.extend(self.unused(graph));
        }
        if self.options.require_monotone {
            faults.extend(self.falling());
        }
        if faults.is_empty() { Ok(()) } else { Err(MeasuredError(faults)) }
    }

    /// Everything at once, for layers of the network at these bits.
    pub fn audit(&self, graph: &Graph, precisions: &[Precision]) -> Audit {
        let needs = |layer: &Layer| match (layer.fixed, self.options.fixed_layers) {
            (false, _) => precisions.to_vec(),
            (true, true) => vec![layer.fixed_bits],
            (true, false) => vec![],
        };
        let (mut missing, mut needed) = (vec![], 0);
        for layer in graph.layers() {
            let bits = needs(&layer);
            needed += bits.len();
            let unknown = bits.into_iter().filter(|&bits| self.value(&layer, bits).is_none());
            missing.extend(unknown.map(|bits| format!("{} {bits}", layer.name)));
        }
        Audit {
            measured: self.subjects.iter().map(|subject| subject.values.len()).sum(),
            blank: self.blank,
            missing,
            needed,
            unused: self.unused(graph),
            mismatched: self.mismatched(graph),
            falling: self.falling(),
        }
    }

    fn unused(&self, graph: &Graph) -> Vec<String> {
        /// The nearest name is looked for among all layers, so that a file of another network would take minutes.
        const WITH_NEAREST: usize = 100;
        let layers = graph.layers();
        let names: BTreeSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let signatures: BTreeSet<Signature> = layers.iter().map(Signature::of).collect();
        let mut found = 0;
        let unused = |Subject { key, place, .. }: &Subject| match key {
            Key::Layer(name) if !names.contains(name.as_str()) => {
                found += 1;
                let near = nearest(name, names.iter().copied().filter(|_| found <= WITH_NEAREST));
                let near = near.map(|near| format!("; nearest: {near}")).unwrap_or_default();
                Some(format!("{place}: layer {name:?} is not in {}{near}", graph.model))
            }
            Key::Signature(signature) if !signatures.contains(signature) => {
                Some(format!("{place}: no layer of {} is {signature}", graph.model))
            }
            _ => None,
        };
        self.subjects.iter().filter_map(unused).collect()
    }

    fn mismatched(&self, graph: &Graph) -> Vec<String> {
        let mut faults = vec![];
        if let Some(belongs) = self.belongs.as_ref().filter(|_| !self.options.allow_unused) {
            faults.extend(belongs.contradiction(graph).map(|why| {
                format!(
                    "{}: {why}; measure this network, or set allow_unused = true if the numbers hold for both",
                    self.options.path
                )
            }));
        }
        for layer in graph.layers() {
            let here = Signature::of(&layer);
            let key = Key::Layer(layer.name.clone());
            let claimed = self.subject(&key).into_iter().flat_map(|subject| &subject.claimed);
            faults.extend(claimed.filter(|(there, _)| *there != here).map(|(there, place)| {
                format!(
                    "{place}: {} was measured as {there}, and in this {} for {} images it is {here}",
                    layer.name, graph.model, graph.input
                )
            }));
        }
        faults
    }

    /// Neighbours in one of the two bit-widths of which the higher has the smaller number.
    fn falling(&self) -> Vec<String> {
        let mut falls = vec![];
        for Subject { key, values, .. } in &self.subjects {
            for (&low, &at_low) in values {
                // Precisions are in the order of their weight bits, then of their activation bits.
                let more_act = values.range(low..).nth(1).filter(|(bits, _)| bits.weight == low.weight);
                let mut more_weight = (low.weight.get() + 1..)
                    .map_while(|weight| BitWidth::new(weight).ok())
                    .filter_map(|weight| values.get_key_value(&Precision { weight, ..low }));
                for (&high, &at_high) in [more_act, more_weight.next()].into_iter().flatten() {
                    if at_high < at_low {
                        let shown = |value| Quantity::shown(self.quantity, value);
                        falls.push(format!("{key}: {low} {}, {high} only {}", shown(at_low), shown(at_high)));
                    }
                }
            }
        }
        falls
    }
}
