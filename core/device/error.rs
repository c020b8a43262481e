//! Why a device cannot be used.

use super::Device;

/// Why a device cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name.
    #[error(
        "no device is called {0:?}; there are: flex, libtorch, libtorch:cuda:N and cuda:N, with N from 0, and cubecl:cpu"
    )]
    Unknown(String),
    /// Known, but not built in.
    #[error(
        "device {device} is not in this build, which lacks the Cargo feature {feature} (see \"Devices\" in the book). Add it, or use \
         device = \"flex\""
    )]
    NotBuilt {
        /// The device.
        device: Device,
        /// The Cargo feature that adds it.
        feature: &'static str,
    },
    /// It does not have the data type that a recipe asks for.
    #[error("the device cannot compute in bfloat16, which {section}.arithmetic asks for; use \"float32\"")]
    NoBfloat16 {
        /// The config's section.
        section: &'static str,
    },
    /// Several devices that share batches, but cannot sum their gradients.
    #[error(
        "devices {devices} cannot add up their gradients: {why}. CUDA devices do that by NCCL: a library libnccl.so must be \
         found (NVIDIA's package libnccl-dev has it; pip's nvidia-nccl has libnccl.so.2 only, which needs a link of that \
         name in LD_LIBRARY_PATH). Or use one device"
    )]
    NoAllReduce {
        /// The devices.
        devices: String,
        /// What the backend said.
        why: String,
    },
    /// Built in, but it does not work on this machine.
    #[error(
        "device {device} does not work here: {why}. Check the GPU's number and its driver, or use device = \"flex\""
    )]
    NotThere {
        /// The device.
        device: Device,
        /// The backend's error.
        why: String,
    },
}
