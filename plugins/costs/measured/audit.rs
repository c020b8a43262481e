//! Checks a file of measurements against a network: what is missing, unused, or falls while bits rise.

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

/// Everything about a file and a network.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// Number of entries with a value.
    pub measured: usize,
    /// Number of entries without a value.
    pub blank: usize,
    /// Layers and bits that are needed but not known.
    pub missing: Vec<String>,
    /// Number of values that are needed.
    pub needed: usize,
    /// Entries that fit no layer.
    pub unused: Vec<String>,
    /// Entries for a layer that has another signature.
    pub mismatched: Vec<String>,
    /// Values that fall while bits rise.
    pub falling: Vec<String>,
}

impl Measured {
    /// Checks that the file fits the network. Missing values depend on the bits and are not checked here.
    ///
    /// # Errors
    /// Entries that fit no layer (unless allowed), signatures that differ from the layer's, and, if asked for, values
    /// that fall.
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

    /// A full report, for layers of the network at these bits.
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
        /// The nearest name is searched among all layers, which for a file of another network would take minutes; only
        /// so many faults get it.
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

    /// Neighbouring bit-widths of which the higher one has the smaller value.
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
