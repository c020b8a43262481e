//! The parameters and running statistics of an operator: its tensors in a state dict.

#[cfg(feature = "train")]
use rand_chacha::ChaCha8Rng;

/// How a parameter is used in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Learned, and quantized before use: the weights of a layer. At most one, of at most four dimensions.
    Weight,
    /// Learned in full precision; the operator gets it flattened.
    Learned,
    /// A running statistic in full precision; the operator gets it flattened and updates it.
    Running,
}

/// Initialisation of a parameter.
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
    /// Its initialisation.
    pub init: Init,
    /// How it is used in training.
    pub kind: ParameterKind,
    /// Whether weight decay applies to it.
    pub decay: bool,
    /// Exclusive lower bound of its values, such as 0 for a variance; values must be finite in any case.
    pub above: Option<f32>,
}

impl Parameter {
    /// The quantized weights of a layer, with weight decay.
    pub fn weight(shape: Vec<usize>, init: Init) -> Self {
        Self { name: "weight", shape, init, kind: ParameterKind::Weight, decay: true, above: None }
    }

    /// One value per channel, learned in full precision without weight decay.
    pub fn per_channel(name: &'static str, channels: usize, init: f32) -> Self {
        let (shape, init) = (vec![channels], Init::Constant(init));
        Self { name, shape, init, kind: ParameterKind::Learned, decay: false, above: None }
    }

    /// One running statistic per channel.
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
