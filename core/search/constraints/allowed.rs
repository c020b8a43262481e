//! Rules applied to a graph: what each layer may have, and which layers have bits in common.

use crate::search::{BitWidth, Candidates, Joined, Precision, Rule, RuleError, Rules};
use crate::{
    graph::{Graph, Layer, NodeId},
    ops::Join,
    registry::nearest,
};
use glob::Pattern;
use std::collections::{BTreeMap, BTreeSet};

/// What one layer may have once all rules are applied; each list in descending order.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// Its name.
    pub layer: String,
    /// Bits for its weights.
    pub weight: Vec<BitWidth>,
    /// Bits for its input activations.
    pub act: Vec<BitWidth>,
    /// Whether a rule leaves exactly one bit-width for its weights.
    pub weight_pinned: bool,
    /// Whether a rule leaves exactly one bit-width for its input activations.
    pub act_pinned: bool,
}

fn tensor(weight: bool) -> &'static str {
    if weight { "weight" } else { "activation" }
}

impl Allowed {
    /// The bits of its weights, or else of its input activations, and whether they are pinned.
    fn of(&mut self, weight: bool) -> (&mut Vec<BitWidth>, &mut bool) {
        match weight {
            true => (&mut self.weight, &mut self.weight_pinned),
            false => (&mut self.act, &mut self.act_pinned),
        }
    }

    /// Every (weight, activation) pair, highest weight bits first.
    pub fn pairs(&self) -> impl Iterator<Item = Precision> + '_ {
        self.weight.iter().flat_map(|&weight| self.act.iter().map(move |&act| Precision { weight, act }))
    }
}

/// Layers (by place among the searchable ones) of which one tensor has the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whether it is their weights; else their input activations.
    pub weight: bool,
    /// The layers, ascending; at least two.
    pub members: Vec<usize>,
}

impl Rules {
    /// What each searchable layer may have, in graph order.
    ///
    /// # Errors
    /// Rules that match nothing or contradict each other.
    pub fn allowed(&self, graph: &Graph, candidates: &Candidates) -> Result<Vec<Allowed>, RuleError> {
        let layers = graph.searchable();
        for rule in &self.rules {
            if !layers.iter().any(|layer| rule.layers.matches(&layer.name)) {
                return Err(matches_nothing(graph, &rule.to_string(), &rule.layers));
            }
        }
        let mut allowed: Vec<Allowed> =
            layers.iter().map(|layer| self.allowed_for(&layer.name, candidates)).collect::<Result<_, _>>()?;
        for class in self.classes(graph)? {
            // A rule for one layer is a rule for all that share with it.
            let ruled: Vec<usize> = class
                .members
                .iter()
                .copied()
                .filter(|&layer| self.rules_on(&layers[layer].name, class.weight))
                .collect();
            let Some(&first) = ruled.first() else { continue };
            let mut bits = allowed[first].of(class.weight).0.clone();
            for &layer in &ruled {
                let (others, _) = allowed[layer].of(class.weight);
                bits.retain(|bit| others.contains(bit));
            }
            if bits.is_empty() {
                let layers = ruled.iter().map(|&layer| layers[layer].name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(RuleError::NothingShared { layers, tensor: tensor(class.weight) });
            }
            for &layer in &class.members {
                let (list, pinned) = allowed[layer].of(class.weight);
                (*list, *pinned) = (bits.clone(), bits.len() == 1);
            }
        }
        Ok(allowed)
    }

    /// Whether a rule speaks of this layer's weights, or else of its input activations.
    fn rules_on(&self, layer: &str, weight: bool) -> bool {
        let speaks = |rule: &Rule| if weight { rule.weight.is_some() } else { rule.act.is_some() };
        self.rules.iter().any(|rule| rule.layers.matches(layer) && speaks(rule))
    }

    fn allowed_for(&self, layer: &str, candidates: &Candidates) -> Result<Allowed, RuleError> {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.layers.matches(layer)).collect();
        let narrow = |of: fn(&Rule) -> Option<&Vec<BitWidth>>, weight: bool| {
            let mut sets = rules.iter().filter_map(|rule| of(rule));
            // A rule may name bits that are no candidates, so that a layer can be kept at 8 bits in a search over 6 to 2.
            let Some(first) = sets.next() else { return Ok((candidates.iter().collect(), false)) };
            let mut bits = first.clone();
            sets.for_each(|set| bits.retain(|bit| set.contains(bit)));
            match bits.is_empty() {
                true => {
                    let speaking = rules.iter().filter(|rule| of(rule).is_some());
                    let rules = speaking.map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                    Err(RuleError::Contradiction { layer: layer.to_owned(), tensor: tensor(weight), rules })
                }
                false => {
                    let pinned = bits.len() == 1;
                    Ok((bits, pinned))
                }
            }
        };
        let (weight, weight_pinned) = narrow(|rule| rule.weight.as_ref(), true)?;
        let (act, act_pinned) = narrow(|rule| rule.act.as_ref(), false)?;
        Ok(Allowed { layer: layer.to_owned(), weight, act, weight_pinned, act_pinned })
    }

    /// Which layers have bits in common: classes of weights and of input activations, no layer in two classes of one kind.
    ///
    /// # Errors
    /// Shares that join nothing.
    pub fn classes(&self, graph: &Graph) -> Result<Vec<Class>, RuleError> {
        let layers = graph.searchable();
        let place: BTreeMap<NodeId, usize> =
            layers.iter().enumerate().map(|(place, layer)| (layer.node, place)).collect();
        // Least layer that each is joined with, through any number of shares: weights and activations apart.
        let mut roots: [Vec<usize>; 2] = [(0..layers.len()).collect(), (0..layers.len()).collect()];
        for share in &self.shares {
            let sets = joined(graph, &layers, &place, &share.layers);
            if let Joined::Matching(glob) = &share.layers
                && sets.iter().all(Vec::is_empty)
            {
                return Err(matches_nothing(graph, &share.to_string(), glob));
            }
            if sets.iter().all(|set| set.len() < 2) {
                return Err(RuleError::SharesNothing { share: share.to_string(), model: graph.model.clone() });
            }
            for (roots, _) in roots.iter_mut().zip([share.weight, share.act]).filter(|(_, shared)| *shared) {
                for set in &sets {
                    for pair in set.windows(2) {
                        let (a, b) = (roots[pair[0]], roots[pair[1]]);
                        let (low, high) = (a.min(b), a.max(b));
                        roots.iter_mut().filter(|root| **root == high).for_each(|root| *root = low);
                    }
                }
            }
        }
        let mut classes = vec![];
        for (roots, weight) in roots.iter().zip([true, false]) {
            for root in 0..layers.len() {
                let members: Vec<usize> = (0..layers.len()).filter(|&layer| roots[layer] == root).collect();
                if members.len() > 1 {
                    classes.push(Class { weight, members });
                }
            }
        }
        Ok(classes)
    }
}

/// The sets of layers that a share joins.
fn joined(graph: &Graph, layers: &[Layer], place: &BTreeMap<NodeId, usize>, which: &Joined) -> Vec<Vec<usize>> {
    let reads = |layer: &Layer| graph.nodes[layer.node].inputs[0];
    match which {
        Joined::Matching(glob) => {
            vec![(0..layers.len()).filter(|&layer| glob.matches(&layers[layer].name)).collect()]
        }
        Joined::Residual | Joined::Concat => {
            let join = if *which == Joined::Residual { Join::Sum } else { Join::Concat };
            let nodes = graph.nodes.iter().filter(|node| node.op.joins() == Some(join));
            let sources = |inputs: &[NodeId]| sources(graph, inputs, join == Join::Sum);
            nodes
                .map(|node| sources(&node.inputs).iter().filter_map(|node| place.get(node).copied()).collect())
                .collect()
        }
        Joined::Depthwise => {
            let with_readers = |(index, layer): (usize, &Layer)| {
                let readers = (0..layers.len()).filter(|&other| producer(graph, reads(&layers[other])) == layer.node);
                std::iter::once(index).chain(readers).collect()
            };
            layers.iter().enumerate().filter(|(_, layer)| layer.is_depthwise()).map(with_readers).collect()
        }
        Joined::Inputs => {
            let mut by_tensor: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
            for (index, layer) in layers.iter().enumerate() {
                by_tensor.entry(reads(layer)).or_default().push(index);
            }
            by_tensor.into_values().collect()
        }
    }
}

/// The node that makes a tensor, seen through operators that only transform its values, such as batch-norm.
fn producer(graph: &Graph, mut node: NodeId) -> NodeId {
    while graph.nodes[node].op.is_elementwise() {
        node = graph.nodes[node].inputs[0];
    }
    node
}

/// The nodes that make these tensors; `through_sums` those that are summed into them, too. Ascending.
fn sources(graph: &Graph, tensors: &[NodeId], through_sums: bool) -> BTreeSet<NodeId> {
    let mut open = tensors.to_vec();
    let mut found = BTreeSet::new();
    while let Some(tensor) = open.pop() {
        let node = producer(graph, tensor);
        if found.insert(node) && through_sums && graph.nodes[node].op.joins() == Some(Join::Sum) {
            open.extend(&graph.nodes[node].inputs);
        }
    }
    found
}

fn matches_nothing(graph: &Graph, rule: &str, glob: &Pattern) -> RuleError {
    let searchable = graph.searchable();
    let fixed = graph.fixed().into_iter().find(|layer| glob.matches(&layer.name));
    let near = nearest(glob.as_str(), searchable.iter().map(|layer| layer.name.as_str()));
    let hint = match (fixed, near) {
        (Some(layer), _) => format!("; {} keeps its fixed {}", layer.name, layer.fixed_text()),
        (None, Some(near)) => format!("; nearest: {near}"),
        (None, None) => String::new(),
    };
    RuleError::MatchesNothing { rule: rule.to_owned(), model: graph.model.clone(), hint }
}
