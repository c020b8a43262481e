//! Saved optimizer state against the network that it is for. burn takes what it reads as it is: a tensor of another shape panics
//! in the first step, a rank that no tensor has panics at once, and a parameter whose numbers are missing starts again at zero
//! without a word.

use super::Network;
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bytes, DType, Tensor},
};
use burn_pack::{Reader, Scalar};
use std::collections::{BTreeMap, BTreeSet};

/// Ends the name of the scalar that holds the rank of a parameter.
const RANK: &str = ".__rank";

/// Shapes of parameters by their numbers.
#[derive(Default)]
struct Shapes(BTreeMap<u64, Vec<usize>>);

impl ModuleVisitor for Shapes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id.val(), param.dims().to_vec());
    }
}

/// That burn's record of an optimizer's state holds numbers of this network's parameters and nothing else.
///
/// # Errors
/// What it holds instead, in words.
pub(super) fn check(bytes: &[u8], network: &Network) -> Result<(), String> {
    let mut shapes = Shapes::default();
    network.visit(&mut shapes);
    fits(bytes, &shapes)
}

fn fits(bytes: &[u8], shapes: &Shapes) -> Result<(), String> {
    let known = |name: &str, id: u64| {
        shapes.0.get(&id).ok_or_else(|| format!("the optimizer state {name:?} is of no parameter of this network"))
    };
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).map_err(|error| error.to_string())?;
    let mut ranked = BTreeSet::new();
    for (name, scalar) in reader.scalars() {
        let id = name.split('.').next().and_then(|id| id.parse().ok());
        let shape = known(name, id.unwrap_or(u64::MAX))?;
        if name.ends_with(RANK) {
            ranked.extend(id);
            if *scalar != Scalar::from(shape.len()) {
                return Err(format!(
                    "the optimizer state {name:?} is {scalar:?}, and the parameter's shape is {shape:?}"
                ));
            }
        }
    }
    let mut held = BTreeSet::new();
    for tensor in reader.into_tensors().map_err(|error| error.to_string())? {
        let (name, dtype, found, id, bytes) = tensor.into_parts().map_err(|error| error.to_string())?;
        let id = id.filter(|id| name.split('.').next() == Some(id.to_string().as_str()));
        let shape = known(&name, id.unwrap_or(u64::MAX))?;
        if found.as_slice() != shape.as_slice() || dtype != DType::F32 {
            return Err(format!(
                "the optimizer state {name:?} holds {dtype:?} of shape {:?}, and the parameter is F32 of shape {shape:?}",
                found.as_slice()
            ));
        }
        let finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
        if !bytes.as_chunks().0.iter().all(finite) {
            return Err(format!("the optimizer state {name:?} has numbers that are not finite"));
        }
        held.extend(id);
    }
    match held.symmetric_difference(&ranked).next() {
        Some(id) => Err(format!("the optimizer state of parameter {id} is not whole")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_pack::{Tensor, Writer};

    /// The state of parameter 3, a vector of two numbers, as SGD writes it, with one thing changed.
    fn state(name: &str, id: Option<u64>, values: &[f32], shape: &[usize], rank: usize) -> Vec<u8> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = Tensor::new(name.into(), DType::F32, shape.to_vec(), id, Bytes::from_bytes_vec(bytes));
        Writer::new(vec![tensor]).with_scalar("3.__rank", rank.into()).into_bytes().unwrap().to_vec()
    }

    #[test]
    fn only_numbers_of_the_parameters_pass() {
        let shapes = Shapes([(3, vec![2])].into());
        let name = "3.momentum.velocity";
        let refused = |bytes: &[u8]| fits(bytes, &shapes).unwrap_err();
        fits(&state(name, Some(3), &[1.0, -2.0], &[2], 1), &shapes).unwrap();
        let wanted = "the optimizer state \"3.momentum.velocity\" holds F32 of shape [1, 2], and the parameter is F32 of shape [2]";
        assert_eq!(refused(&state(name, Some(3), &[1.0, -2.0], &[1, 2], 1)), wanted);
        assert!(refused(&state(name, Some(3), &[1.0], &[1], 1)).contains("shape [1]"));
        assert!(refused(&state(name, Some(3), &[1.0, f32::NAN], &[2], 1)).ends_with("not finite"));
        assert!(refused(&state(name, Some(3), &[1.0, 1.0], &[2], 99)).contains("3.__rank"));
        for (name, id) in [(name, None), (name, Some(4)), ("4.momentum.velocity", Some(3)), ("velocity", Some(3))] {
            assert!(refused(&state(name, id, &[1.0, 1.0], &[2], 1)).ends_with("of no parameter of this network"));
        }
        let alone = Writer::new(vec![]).with_scalar("3.__rank", 1usize.into()).into_bytes().unwrap();
        assert_eq!(refused(&alone), "the optimizer state of parameter 3 is not whole");
        refused(b"");
        refused(&[0xff; 300]);
    }
}
