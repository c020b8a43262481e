//! A network's numbers by state-dict name, outside any device: what is saved, loaded and handed from stage to stage.

use crate::graph::{Graph, Layer, LayerKind, Op};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;

/// One tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its shape, as in PyTorch.
    pub shape: Vec<usize>,
    /// Its values, last axis fastest.
    pub values: Vec<f32>,
}

/// Tensors by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(pub BTreeMap<String, Array>);

/// What is wrong with saved numbers.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not a safetensors file, or one of another kind of numbers.
    #[error("{path} is not a usable safetensors file: {why}")]
    Format {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
    /// A tensor that the network needs is not there.
    #[error("tensor {0:?} is missing: the saved weights are for another model")]
    Missing(String),
    /// A tensor of another shape.
    #[error("tensor {name:?} has shape {found:?}, the model needs {wanted:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        wanted: Vec<usize>,
    },
}

impl State {
    /// Names and shapes of a graph's tensors, as in PyTorch.
    pub fn shapes(graph: &Graph) -> BTreeMap<String, Vec<usize>> {
        let mut shapes = BTreeMap::new();
        for layer in graph.layers() {
            shapes.insert(format!("{}.weight", layer.name), weight_shape(graph, &layer));
            if has_bias(graph, &layer) {
                shapes.insert(format!("{}.bias", layer.name), vec![layer.out_shape.channels]);
            }
        }
        for node in graph.nodes.iter().filter(|node| node.op == Op::BatchNorm) {
            for part in ["weight", "bias", "running_mean", "running_var"] {
                shapes.insert(format!("{}.{part}", node.name), vec![node.shape.channels]);
            }
        }
        shapes
    }

    /// Starting values drawn from a seed: Kaiming normal (fan out) for convolutions, uniform within 1/sqrt(inputs) for the
    /// classifier, as torchvision does; batch-norm starts as the identity.
    pub fn random(graph: &Graph, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut state = BTreeMap::new();
        for layer in graph.layers() {
            let shape = weight_shape(graph, &layer);
            let count = shape.iter().product();
            let values: Vec<f32> = match layer.kind {
                LayerKind::Conv => {
                    let fan_out = layer.weights / (layer.in_shape.channels as u64).max(1) * groups(graph, &layer);
                    let deviation = (2.0 / fan_out as f32).sqrt();
                    let normal = StandardNormal.sample_iter(&mut random);
                    normal.take(count).map(|value: f32| value * deviation).collect()
                }
                LayerKind::Linear => {
                    let limit = 1.0 / (layer.in_shape.elements() as f32).sqrt();
                    let uniform = Uniform::new_inclusive(-limit, limit).expect("the limit is positive and finite");
                    uniform.sample_iter(&mut random).take(count).collect()
                }
            };
            state.insert(format!("{}.weight", layer.name), Array { shape, values });
            if has_bias(graph, &layer) {
                let zeros =
                    Array { shape: vec![layer.out_shape.channels], values: vec![0.0; layer.out_shape.channels] };
                state.insert(format!("{}.bias", layer.name), zeros);
            }
        }
        for node in graph.nodes.iter().filter(|node| node.op == Op::BatchNorm) {
            let channels = node.shape.channels;
            for (part, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
                let array = Array { shape: vec![channels], values: vec![value; channels] };
                state.insert(format!("{}.{part}", node.name), array);
            }
        }
        Self(state)
    }

    /// A tensor of a known shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<&Array, StateError> {
        let array = self.0.get(name).ok_or_else(|| StateError::Missing(name.to_owned()))?;
        match array.shape == shape {
            true => Ok(array),
            false => {
                Err(StateError::Shape { name: name.to_owned(), found: array.shape.clone(), wanted: shape.to_vec() })
            }
        }
    }

    /// The first tensor, by name, with a number that is not finite.
    pub fn not_finite(&self) -> Option<&str> {
        let bad = |array: &Array| array.values.iter().any(|value| !value.is_finite());
        self.0.iter().find(|(_, array)| bad(array)).map(|(name, _)| name.as_str())
    }

    /// What keeps this from being numbers of the same network as another's, in words; whether they are finite, too.
    pub fn differs_from(&self, other: &Self) -> Option<String> {
        let unknown = self.0.keys().find(|name| !other.0.contains_key(*name));
        let misfit = other.0.iter().find_map(|(name, array)| self.get(name, &array.shape).err());
        let unknown = unknown.map(|name| format!("tensor {name:?} is none of this network"));
        let misfit = misfit.map(|error| error.to_string()).or(unknown);
        misfit.or_else(|| Some(format!("tensor {:?} has numbers that are not finite", self.not_finite()?)))
    }

    /// As the bytes of a safetensors file; the same state gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let raw: Vec<(&String, &Array, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, array)| (name, array, array.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = raw.iter().map(|(name, array, bytes)| {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes);
            (name.as_str(), view.expect("the bytes are as many as the shape says"))
        });
        safetensors::serialize(views, None).expect("names are distinct and shapes fit")
    }

    /// From the bytes of a safetensors file; `path` is for the error.
    ///
    /// # Errors
    /// Truncated or foreign files, numbers other than 32-bit floats.
    pub fn from_bytes(bytes: &[u8], path: &str) -> Result<Self, StateError> {
        let wrong = |why: String| StateError::Format { path: path.to_owned(), why };
        let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        Self::from_views(file.iter()).map_err(wrong)
    }

    /// From tensors of an open file; an error says what is wrong.
    pub(super) fn from_views<'a>(views: impl Iterator<Item = (&'a str, TensorView<'a>)>) -> Result<Self, String> {
        let mut state = BTreeMap::new();
        for (name, view) in views {
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor {name:?} holds {:?}, not 32-bit floats", view.dtype()));
            }
            let values = view.data().as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
            state.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
        }
        Ok(Self(state))
    }
}

/// Shape of a layer's weights as PyTorch keeps them.
pub(super) fn weight_shape(graph: &Graph, layer: &Layer) -> Vec<usize> {
    match &graph.nodes[layer.node].op {
        Op::Conv(conv) => vec![conv.out, layer.in_shape.channels / conv.groups, conv.kernel, conv.kernel],
        _ => vec![layer.out_shape.channels, layer.in_shape.elements()],
    }
}

/// Whether a layer adds a bias.
pub(super) fn has_bias(graph: &Graph, layer: &Layer) -> bool {
    match &graph.nodes[layer.node].op {
        Op::Conv(conv) => conv.bias,
        Op::Linear { bias, .. } => *bias,
        _ => false,
    }
}

fn groups(graph: &Graph, layer: &Layer) -> u64 {
    match &graph.nodes[layer.node].op {
        Op::Conv(conv) => conv.groups as u64,
        _ => 1,
    }
}
