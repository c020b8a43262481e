//! A contiguous range of channels.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The channels `start..end`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSlice {
    /// The first channel, counted from 0.
    pub start: usize,
    /// One past the last channel.
    pub end: usize,
}

impl Default for ChannelSlice {
    fn default() -> Self {
        Self { start: 0, end: 1 }
    }
}

impl Operator for ChannelSlice {
    fn name(&self) -> &'static str {
        "channel_slice"
    }

    fn label(&self) -> &'static str {
        "slice"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let Self { start, end } = *self;
        if start >= end || end > input.channels {
            let why = format!("channels {start}..{end} are not among the {} of its input", input.channels);
            return Err(OpError::Attribute(why));
        }
        Ok(Shape { channels: end - start, ..input })
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        call.input().narrow(1, self.start, self.end - self.start)
    }
}

crate::plugin!(crate::ops::Operator, "channel_slice", "Some of the channels", ChannelSlice);
