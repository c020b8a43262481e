//! A network's tensors by state-dict name, on the host: what is saved, loaded and passed between stages.

use crate::{
    graph::{Graph, NodeId},
    ops::Parameter,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
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

/// What is wrong with saved tensors.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not a safetensors file, or one with another data type.
    #[error("{path} is not a usable safetensors file: {why}")]
    Format {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
    /// A tensor that the network needs is missing.
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
        tensors(graph).into_iter().map(|(name, parameter)| (name, parameter.shape)).collect()
    }

    /// Initial values drawn from a seed, as each operator defines them.
    pub fn random(graph: &Graph, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let tensor = |(name, parameter): (String, Parameter)| {
            let values = parameter.init.sample(parameter.count(), &mut random);
            (name, Array { shape: parameter.shape, values })
        };
        Self(tensors(graph).into_iter().map(tensor).collect())
    }

    /// A tensor, whose shape is known.
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

    /// The first tensor, by name, with a value that is not finite.
    pub fn not_finite(&self) -> Option<&str> {
        let bad = |array: &Array| array.values.iter().any(|value| !value.is_finite());
        self.0.iter().find(|(_, array)| bad(array)).map(|(name, _)| name.as_str())
    }

    /// How this differs from a state of the same network, in words: names, shapes, or values that are not finite.
    pub fn differs_from(&self, other: &Self) -> Option<String> {
        let unknown = self.0.keys().find(|name| !other.0.contains_key(*name));
        let misfit = other.0.iter().find_map(|(name, array)| self.get(name, &array.shape).err());
        let unknown = unknown.map(|name| format!("tensor {name:?} does not belong to this network"));
        let misfit = misfit.map(|error| error.to_string()).or(unknown);
        misfit.or_else(|| Some(format!("tensor {:?} has values that are not finite", self.not_finite()?)))
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
    /// Truncated or foreign files, data types other than 32-bit floats.
    pub fn from_bytes(bytes: &[u8], path: &str) -> Result<Self, StateError> {
        let wrong = |why: String| StateError::Format { path: path.to_owned(), why };
        let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        Self::from_views(file.iter()).map_err(wrong)
    }

    /// From the tensors of an open file; the error says what is wrong.
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

/// State-dict name of a parameter of a node.
pub(super) fn tensor_name(graph: &Graph, node: NodeId, parameter: &Parameter) -> String {
    parameter.full_name(&graph.nodes[node].name)
}

/// All parameters of a graph with their state-dict names: first those of layers, then the others, each in execution
/// order.
fn tensors(graph: &Graph) -> Vec<(String, Parameter)> {
    let (layers, others): (Vec<_>, Vec<_>) = (0..graph.nodes.len()).partition(|&node| graph.is_layer(node));
    let of = |node: NodeId| {
        let named = move |parameter| (tensor_name(graph, node, &parameter), parameter);
        graph.parameters(node).into_iter().map(named)
    };
    layers.into_iter().chain(others).flat_map(of).collect()
}
