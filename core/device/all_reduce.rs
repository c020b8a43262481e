//! The all-reduce of CUDA devices, through NCCL: whether there is one, and whether it works.

use burn::tensor::{
    Device, Tensor,
    distributed::{CollectiveTensor, ReduceOperation, all_reduce},
};

/// The sum of one vector per device, on the first device, by an all-reduce. It is started on every device before
/// waiting for any, since each waits for all others.
pub(crate) fn reduced(vectors: Vec<Tensor<1>>, devices: &[Device]) -> Tensor<1> {
    let begin = |vector| all_reduce(vector, ReduceOperation::Sum, devices.to_vec());
    let begun: Vec<CollectiveTensor<1>> = vectors.into_iter().map(begin).collect();
    let mut sums: Vec<Tensor<1>> = begun.into_iter().map(CollectiveTensor::resolve).collect();
    sums.swap_remove(0)
}

/// Whether these devices have an all-reduce: several CUDA devices, each only once.
pub(crate) fn have_all_reduce(devices: &[Device]) -> bool {
    let twice = (1..devices.len()).any(|place| devices[..place].contains(&devices[place]));
    devices.len() > 1 && !twice && devices.iter().all(is_cuda)
}

#[cfg(feature = "cuda-untuned")]
fn is_cuda(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(burn_cubecl::CubeDevice::Cuda(_)))
}

#[cfg(not(feature = "cuda-untuned"))]
fn is_cuda(_: &Device) -> bool {
    false
}

/// A one from each device, summed by an all-reduce. burn panics if that is not possible.
pub(super) fn count(devices: &[Device]) -> f32 {
    let ones = devices.iter().map(|device| Tensor::ones([1], device)).collect();
    reduced(ones, devices).into_scalar()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gpus_of_cuda_have_an_all_reduce_and_no_device_twice() {
        let flex = Device::flex();
        assert!(!have_all_reduce(&[flex.clone(), flex]));
    }

    /// Needs a GPU, `LIMPQ_TEST_DEVICE=cuda:0`, and NCCL. One rank is all that one GPU allows.
    #[cfg(feature = "cuda-untuned")]
    #[test]
    fn an_all_reduce_of_one_gpu_leaves_its_numbers() {
        let name = std::env::var("LIMPQ_TEST_DEVICE").unwrap_or_default();
        let Some(number) = name.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok()) else { return };
        let device = Device::cuda(number);
        assert!(!have_all_reduce(&[device.clone(), device.clone()]), "a device is no partner of its own");
        assert!(have_all_reduce(&[device.clone(), Device::cuda(number + 1)]));
        let alone = std::slice::from_ref(&device);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| count(alone))) {
            Ok(count) => assert_eq!(count, 1.0),
            Err(why) => {
                let why = why.downcast_ref::<String>().expect("a message");
                assert!(why.contains("no transport between its devices"), "{why}");
                println!("no NCCL here, and burn says so");
                return;
            }
        }
        let sum = reduced(vec![Tensor::from_floats([1.0, -2.0, 3.5], &device)], alone);
        assert_eq!(sum.into_data().try_to_vec::<f32>().unwrap(), [1.0, -2.0, 3.5]);
    }
}
