//! Sums gradients over devices: by an all-reduce if the devices have one, else on the first device.
//!
//! burn has collectives between CUDA devices, through NCCL. In both cases all gradients of a device are sent as one
//! vector, since a network has hundreds of small parameters.

use super::network::Network;
use crate::device::{have_all_reduce, reduced};
use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};

/// The sum of the devices' gradients, on the first device. All have gradients of the same parameters. There may be
/// gradients for the first few devices only.
pub(super) fn sum(network: &Network, mut gradients: Vec<GradientsParams>, devices: &[Device]) -> GradientsParams {
    let devices = &devices[..gradients.len()];
    match devices {
        [] | [_] => gradients.pop().unwrap_or_default(),
        _ => joined(network, gradients, |vectors| add_up(vectors, devices)),
    }
}

/// The sum of gradients, given how to sum vectors of equal length.
fn joined<M: Module>(
    module: &M,
    gradients: Vec<GradientsParams>,
    add_up: impl FnOnce(Vec<Tensor<1>>) -> Tensor<1>,
) -> GradientsParams {
    let flat = |gradients| {
        let mut flat = Flat { gradients, learned: vec![], vectors: vec![] };
        module.visit(&mut flat);
        (flat.learned, flat.vectors)
    };
    let (mut learned, vectors): (Vec<_>, Vec<_>) = gradients.into_iter().map(flat).unzip();
    let learned = learned.swap_remove(0);
    // No parameter has a gradient; concatenating no vectors would have no device.
    if learned.is_empty() {
        return GradientsParams::new();
    }
    let sum = add_up(vectors.into_iter().map(|parts| Tensor::cat(parts, 0)).collect());
    let mut whole = Whole { learned, sum, at: 0, gradients: GradientsParams::new() };
    module.visit(&mut whole);
    whole.gradients
}

/// The sum of one vector per device, on the first device.
fn add_up(vectors: Vec<Tensor<1>>, devices: &[Device]) -> Tensor<1> {
    if have_all_reduce(devices) { reduced(vectors, devices) } else { gathered(vectors, &devices[0]) }
}

/// Adds on the first device, in the order of the devices.
fn gathered(vectors: Vec<Tensor<1>>, first: &Device) -> Tensor<1> {
    let here = vectors.into_iter().map(|vector| vector.to_device(first));
    here.reduce(|sum, vector| sum + vector).expect("there is a first device")
}

/// Flattens gradients in the module's order, with the parameters they belong to.
struct Flat {
    gradients: GradientsParams,
    learned: Vec<ParamId>,
    vectors: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        self.learned.push(param.id);
        self.vectors.push(gradient.flatten(0, D - 1));
    }
}

/// Restores gradients from one flat vector.
struct Whole {
    learned: Vec<ParamId>,
    sum: Tensor<1>,
    at: usize,
    gradients: GradientsParams,
}

impl ModuleVisitor for Whole {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.learned.contains(&param.id) {
            return;
        }
        let shape = param.val().dims();
        let elements = shape.iter().product();
        let own = self.sum.clone().narrow(0, self.at, elements).reshape(shape);
        self.at += elements;
        self.gradients.register(param.id, own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two learned parameters, one of which has three dimensions, and one constant between them.
    #[derive(Module, Debug)]
    struct Three {
        first: Param<Tensor<1>>,
        frozen: Param<Tensor<2>>,
        last: Param<Tensor<3>>,
    }

    fn three(device: &Device) -> Three {
        Three {
            first: Param::from_tensor(Tensor::zeros([2], device)),
            frozen: Param::from_tensor(Tensor::zeros([1, 2], device)),
            last: Param::from_tensor(Tensor::zeros([1, 3, 2], device)),
        }
    }

    /// Gradients of two devices: 1 and 2; 1 to 6, and ten and a hundred times as much.
    fn gradients(three: &Three, device: &Device) -> Vec<GradientsParams> {
        let of = |factor: f32| {
            let mut gradients = GradientsParams::new();
            gradients.register(three.first.id, Tensor::<1>::from_floats([1.0, 2.0], device).mul_scalar(factor));
            let last = Tensor::<3>::from_floats([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], device);
            gradients.register(three.last.id, last.mul_scalar(factor));
            gradients
        };
        vec![of(1.0), of(10.0), of(100.0)]
    }

    fn numbers<const D: usize>(gradients: &GradientsParams, id: ParamId) -> Option<(Vec<usize>, Vec<f32>)> {
        let gradient = gradients.get::<D>(id)?;
        Some((gradient.dims().to_vec(), gradient.into_data().try_to_vec().unwrap()))
    }

    /// What an all-reduce leaves on the first of its devices.
    fn fake_all_reduce(vectors: Vec<Tensor<1>>) -> Tensor<1> {
        assert_eq!(vectors.iter().map(|vector| vector.dims()).collect::<Vec<_>>(), [[8]; 3], "one vector each");
        Tensor::stack::<2>(vectors, 0).sum_dim(0).squeeze_dim(0)
    }

    #[test]
    fn gathered_or_reduced_the_sums_come_back_in_their_shapes() {
        let device = Device::flex();
        let three = three(&device);
        for sum in [
            joined(&three, gradients(&three, &device), |vectors| gathered(vectors, &device)),
            joined(&three, gradients(&three, &device), fake_all_reduce),
        ] {
            assert_eq!(numbers::<1>(&sum, three.first.id), Some((vec![2], vec![111.0, 222.0])));
            assert_eq!(numbers::<2>(&sum, three.frozen.id), None);
            let last = vec![111.0, 222.0, 333.0, 444.0, 555.0, 666.0];
            assert_eq!(numbers::<3>(&sum, three.last.id), Some((vec![1, 3, 2], last)));
        }
        let nothing = joined(&three, vec![GradientsParams::new(), GradientsParams::new()], |_| unreachable!());
        assert!(nothing.is_empty());
    }
}
