//! Finds networks that compute NaN or infinity before their results are used, and names the tensor responsible.

use super::{
    TrainContext, TrainError,
    network::{Network, Plan, host},
    state::{State, tensor_name},
};
use crate::graph::Graph;
use std::{collections::BTreeMap, fmt};

/// A value in a network's tensors that makes every forward pass fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// The tensor.
    pub tensor: String,
    /// Its flat index, with the last axis fastest.
    pub place: usize,
    /// The value: not finite, or a running variance too far below 0.
    pub value: f32,
    /// For a finite value, its exclusive lower bound: minus the epsilon of a batch-norm.
    pub above: Option<f32>,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, place, value, above } = self;
        write!(f, "tensor {tensor:?} holds {value} at place {place}")?;
        match above {
            Some(above) => write!(f, ", a variance, of which batch-norm takes the square root after adding {}", -above),
            None => Ok(()),
        }
    }
}

impl State {
    /// The first value, by the tensor's name, that is not finite, or a running variance that is not positive even after
    /// batch-norm adds its epsilon. A variance that is just below 0 by rounding is accepted.
    pub fn unusable(&self, graph: &Graph) -> Option<Unusable> {
        let bounds = bounds(graph);
        self.0.iter().find_map(|(name, array)| {
            let above = bounds.get(&without_bits(name)).copied();
            let bad = |value: &f32| !value.is_finite() || above.is_some_and(|above| *value <= above);
            let place = array.values.iter().position(bad)?;
            let value = array.values[place];
            Some(Unusable { tensor: name.clone(), place, value, above: above.filter(|_| value.is_finite()) })
        })
    }
}

/// Exclusive lower bounds of tensors of a network, by name.
fn bounds(graph: &Graph) -> BTreeMap<String, f32> {
    let of = |node: usize| {
        let bound = move |parameter| Some((tensor_name(graph, node, &parameter), parameter.above?));
        graph.parameters(node).into_iter().filter_map(bound)
    };
    (0..graph.nodes.len()).flat_map(of).collect()
}

/// A tensor's name without the bit-width of its copy: `bn1.running_var` for `bn1.b4.running_var`.
fn without_bits(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    let bits = |part: &str| part.strip_prefix('b').is_some_and(|bits| bits.parse::<u64>().is_ok());
    if let Some(copy) = parts.len().checked_sub(2).filter(|&place| bits(parts[place])) {
        parts.remove(copy);
    }
    parts.join(".")
}

impl TrainContext<'_> {
    /// Checks that a network gives finite logits in full precision on a batch of training images, in evaluation mode.
    /// `name` is used in errors.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] with the first tensor or layer that is not finite; unreadable samples.
    pub fn check_finite(&self, name: &str, plan: &Plan, state: &State, batch_size: usize) -> Result<(), TrainError> {
        let refused = |why: String| Err(TrainError::NotFinite { network: name.to_owned(), why });
        if let Some(unusable) = state.unusable(&plan.graph) {
            return refused(unusable.to_string());
        }
        let images = self.first_batch(batch_size)?;
        // All images of the batch may have been left out.
        if images.dims()[0] == 0 {
            return Ok(());
        }
        let (network, bits) = (Network::new(plan, state, self.device)?, plan.no_bits());
        let logits = host(network.forward(images.clone(), &bits, false));
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(());
        }
        let place = network.not_finite(images, &bits, false).unwrap_or_else(|| "the logits".to_owned());
        refused(format!(
            "32-bit floats overflow on the first training images; the first values that are not finite are {place}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Builder, train::Array};

    fn state(name: &str, values: [f32; 2]) -> State {
        State([(name.to_owned(), Array { shape: vec![2], values: values.to_vec() })].into())
    }

    #[test]
    fn values_that_are_not_finite_are_unusable_and_variances_below_minus_epsilon() {
        let (mut b, x) = Builder::new("norms", "2x1x1".parse().unwrap(), 2);
        let x = b.batch_norm("bn1", x);
        b.batch_norm("layer1.0.bn1", x);
        let graph = b.finish().unwrap();
        let said =
            |name: &str, value: f32| state(name, [0.5, value]).unusable(&graph).map(|unusable| unusable.to_string());
        // 1e-5 - 9.99e-6 = 1e-8 has a root.
        for (name, value) in [("bn1.running_var", -9.99e-6), ("bn1.running_mean", -3.0), ("bn1.running_var", 0.0)] {
            assert_eq!(said(name, value), None, "{name} {value}");
        }
        let root = ", a variance, of which batch-norm takes the square root after adding 0.00001";
        let negative = format!("tensor \"layer1.0.bn1.running_var\" holds -0.5 at place 1{root}");
        assert_eq!(said("layer1.0.bn1.running_var", -0.5), Some(negative));
        assert!(said("bn1.running_var", -1e-5).is_some(), "1e-5 - 1e-5 is 0: a division by zero");
        assert_eq!(said("conv1.weight", f32::NAN).unwrap(), "tensor \"conv1.weight\" holds NaN at place 1");
        assert_eq!(
            said("bn1.b4.running_var", f32::INFINITY).unwrap(),
            "tensor \"bn1.b4.running_var\" holds inf at place 1"
        );
    }
}
