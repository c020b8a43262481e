//! Networks that compute NaN or infinity. They are found before anything is made of them, and the tensor to blame is named.

use super::{
    TrainContext, TrainError,
    network::{EPSILON, Network, Plan, host},
    state::State,
};
use std::fmt;

/// A value in a network's tensors that no forward pass can compute with.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// The tensor.
    pub tensor: String,
    /// Where in it, counted from 0 with the last axis fastest.
    pub place: usize,
    /// The value: not finite, or a running variance that is too far below 0.
    pub value: f32,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, place, value } = self;
        write!(f, "tensor {tensor:?} holds {value} at place {place}")?;
        match value.is_finite() {
            true => write!(f, ", a variance of which batch-norm takes the root after adding {EPSILON}"),
            false => Ok(()),
        }
    }
}

impl State {
    /// The first value, by the tensor's name, that is not finite, or a running variance that stays at 0 or below it when
    /// batch-norm adds its epsilon. A variance that rounding took just below 0 is none.
    pub fn unusable(&self) -> Option<Unusable> {
        self.0.iter().find_map(|(name, array)| {
            let variance = name.ends_with(".running_var");
            let bad = |value: &f32| !value.is_finite() || variance && value + EPSILON as f32 <= 0.0;
            let place = array.values.iter().position(bad)?;
            Some(Unusable { tensor: name.clone(), place, value: array.values[place] })
        })
    }
}

impl TrainContext<'_> {
    /// Whether a network gives finite logits in full precision on a batch of training images, as in evaluation. `name` is what an
    /// error calls it.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] with the first tensor or layer that is not; unreadable samples.
    pub fn check_finite(&self, name: &str, plan: &Plan, state: &State, batch_size: usize) -> Result<(), TrainError> {
        let refused = |why: String| Err(TrainError::NotFinite { network: name.to_owned(), why });
        if let Some(unusable) = state.unusable() {
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
    use crate::train::Array;

    fn state(name: &str, values: [f32; 2]) -> State {
        State([(name.to_owned(), Array { shape: vec![2], values: values.to_vec() })].into())
    }

    #[test]
    fn values_that_are_not_finite_are_unusable_and_variances_below_minus_epsilon() {
        let said = |name: &str, value: f32| state(name, [0.5, value]).unusable().map(|unusable| unusable.to_string());
        // 1e-5 - 9.99e-6 = 1e-8 has a root.
        for (name, value) in [("bn1.running_var", -9.99e-6), ("bn1.running_mean", -3.0), ("bn1.running_var", 0.0)] {
            assert_eq!(said(name, value), None, "{name} {value}");
        }
        let root = ", a variance of which batch-norm takes the root after adding 0.00001";
        let negative = format!("tensor \"layer1.0.bn1.running_var\" holds -0.5 at place 1{root}");
        assert_eq!(said("layer1.0.bn1.running_var", -0.5), Some(negative));
        assert!(said("bn1.running_var", -1e-5).is_some(), "1e-5 - 1e-5 is 0, by which nothing can be divided");
        assert_eq!(said("conv1.weight", f32::NAN).unwrap(), "tensor \"conv1.weight\" holds NaN at place 1");
        assert_eq!(
            said("bn1.b4.running_var", f32::INFINITY).unwrap(),
            "tensor \"bn1.b4.running_var\" holds inf at place 1"
        );
    }
}
