//! The arguments of an operator's forward pass.

use super::{Parameter, ParameterKind};
use crate::train::Arithmetic;
use burn::{
    module::{Param, RunningState},
    tensor::Tensor,
};

/// Which statistics a normalisation over the batch uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// The running ones, as in evaluation.
    Running,
    /// The batch's own; the running ones stay as they are.
    Batch,
    /// The batch's own, as in training; the running ones are updated as often as by this many passes.
    Train {
        /// Number of passes that this one stands for.
        passes: usize,
    },
    /// The batch's own; the running ones become `(1 - share) running + share batch`.
    Observe {
        /// Weight of the batch's statistics, above 0 and at most 1.
        share: f64,
    },
}

/// The arguments of an operator's forward pass.
pub struct Call<'a> {
    /// Its inputs `[batch, channels, height, width]`; operands among them are quantized. burn works in place on tensors
    /// without other owners.
    pub inputs: Vec<Tensor<4>>,
    /// Its quantized weights, if it has any; missing trailing dimensions are 1.
    pub weight: Option<Tensor<4>>,
    /// The statistics to normalise with.
    pub statistics: Statistics,
    /// The data type of products.
    pub arithmetic: Arithmetic,
    /// Its parameters, as it declared them.
    pub(crate) parameters: &'a [Parameter],
    /// Those that are learned in full precision.
    pub(crate) learned: &'a [Param<Tensor<1>>],
    /// Its running statistics.
    pub(crate) running: &'a [RunningState<Tensor<1>>],
}

impl Call<'_> {
    /// Its first input.
    pub fn input(&mut self) -> Tensor<4> {
        self.inputs.swap_remove(0)
    }

    /// Its two inputs.
    pub fn two(&mut self) -> [Tensor<4>; 2] {
        let right = self.inputs.swap_remove(1);
        [self.inputs.swap_remove(0), right]
    }

    /// A parameter that is learned in full precision, flattened; `None` if the operator has not declared it.
    pub fn learned(&self, name: &str) -> Option<Tensor<1>> {
        Some(self.learned[self.place(name, ParameterKind::Learned)?].val())
    }

    /// A running statistic, flattened.
    ///
    /// # Panics
    /// When the operator has not declared one of this name.
    pub fn running(&self, name: &str) -> &RunningState<Tensor<1>> {
        let place = self.place(name, ParameterKind::Running);
        &self.running[place.unwrap_or_else(|| panic!("the operator has no running statistic {name:?}"))]
    }

    fn place(&self, name: &str, kind: ParameterKind) -> Option<usize> {
        let mut of_kind = self.parameters.iter().filter(|parameter| parameter.kind == kind);
        of_kind.position(|parameter| parameter.name == name)
    }
}
