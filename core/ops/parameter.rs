//! What an operator learns or keeps: its tensors in a state dict.

#[cfg(feature = "train")]
use rand_chacha::ChaCha8Rng;

/// What becomes of a parameter in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Learned, and quantized before it is used: the weights of a layer. At most one, of at most four dimensions.
    Weight,
    /// Learned in full precision; the operator gets it flat.
    Learned,
    /// A running statistic, in full precision; the operator gets it flat and updates it.
    Running,
}

/// What a parameter is before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Normally distributed around 0 with this standard deviation.
    Normal(f32),
    /// Uniformly distributed between minus this and this.
    Uniform(f32),
}

/// One tensor of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The last part of its state-dict name, such as `weight` in `layer1.0.conv1.weight`; empty if the node's name is all of it.
    pub name: &'static str,
    /// Its shape, as in PyTorch.
    pub shape: Vec<usize>,
    /// What it is before training.
    pub init: Init,
    /// What becomes of it in training.
    pub kind: ParameterKind,
    /// Whether weight decay applies to it.
    pub decay: bool,
    /// Values that must stay above this one, such as a variance whose root is taken; none may be not finite in any case.
    pub above: Option<f32>,
}

impl Parameter {
    /// The quantized weights of a layer, with weight decay.
    pub fn weight(shape: Vec<usize>, init: Init) -> Self {
        Self { name: "weight", shape, init, kind: ParameterKind::Weight, decay: true, above: None }
    }

    /// One value for each channel, learned in full precision without weight decay.
    pub fn per_channel(name: &'static str, channels: usize, init: f32) -> Self {
        let (shape, init) = (vec![channels], Init::Constant(init));
        Self { name, shape, init, kind: ParameterKind::Learned, decay: false, above: None }
    }

    /// One statistic for each channel.
    pub fn running(name: &'static str, channels: usize, init: f32) -> Self {
        Self { kind: ParameterKind::Running, ..Self::per_channel(name, channels, init) }
    }

    /// Its state-dict name at a node of this name.
    pub fn full_name(&self, node: &str) -> String {
        if self.name.is_empty() { node.to_owned() } else { format!("{node}.{}", self.name) }
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

#[cfg(feature = "train")]
impl Init {
    /// Draws `count` values; constants draw nothing.
    pub(crate) fn sample(self, count: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
        use rand_distr::{Distribution, StandardNormal, Uniform};
        match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal(deviation) => {
                let normal = StandardNormal.sample_iter(random);
                normal.take(count).map(|value: f32| value * deviation).collect()
            }
            Self::Uniform(limit) => {
                let uniform = Uniform::new_inclusive(-limit, limit).expect("the limit is positive and finite");
                uniform.sample_iter(random).take(count).collect()
            }
        }
    }
}
