//! Channel shuffle (Zhang et al., ShuffleNet, CVPR 2018): the channels, as a matrix with one row per group, are
//! transposed.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Channel shuffle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelShuffle {
    /// Number of groups; a divisor of the number of channels.
    pub groups: usize,
}

impl Default for ChannelShuffle {
    fn default() -> Self {
        Self { groups: 2 }
    }
}

impl Operator for ChannelShuffle {
    fn name(&self) -> &'static str {
        "channel_shuffle"
    }

    fn label(&self) -> &'static str {
        "channel shuffle"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let (groups, channels) = (self.groups, input.channels);
        match groups > 0 && channels.is_multiple_of(groups) {
            true => Ok(input),
            false => Err(OpError::Groups { groups, channels }),
        }
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let input = call.input();
        let [batch, channels, height, width] = input.dims();
        let rows = input.reshape([batch, self.groups, channels / self.groups, height * width]);
        rows.swap_dims(1, 2).reshape([batch, channels, height, width])
    }
}

crate::plugin!(crate::ops::Operator, "channel_shuffle", "Channels of several groups, mixed", ChannelShuffle);
