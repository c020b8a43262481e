//! Devices by name, as configs give them: `flex`, `libtorch`, `libtorch:cuda:0`, `cuda:0`, `cubecl:cpu`.

use crate::train::{count_by_all_reduce, have_all_reduce};
use burn::tensor::{Device as Place, FloatDType, Tensor};
use serde::{
    Deserialize, Serialize,
    de::{self, SeqAccess, Visitor},
};
use std::{fmt, mem, panic, str::FromStr};

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// Pure Rust on the CPU; always built in.
    #[default]
    Flex,
    /// PyTorch's library on the CPU; Cargo feature `tch`.
    Libtorch,
    /// PyTorch's library on a GPU; Cargo feature `tch`.
    LibtorchCuda(usize),
    /// burn's own kernels on a GPU; Cargo feature `cuda`.
    Cuda(usize),
    /// The same kernels on the CPU, to test them; Cargo feature `cubecl-cpu`.
    CubeclCpu,
}

/// Why a device cannot be had.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name.
    #[error(
        "no device is called {0:?}; there are: flex, libtorch, libtorch:cuda:N and cuda:N, with N from 0, and cubecl:cpu"
    )]
    Unknown(String),
    /// Known, but not built in.
    #[error(
        "device {device} is not in this build, which lacks the Cargo feature {feature} (see \"Devices\" in the README). Add it, or use \
         device = \"flex\""
    )]
    NotBuilt {
        /// The device.
        device: Device,
        /// The Cargo feature that adds it.
        feature: &'static str,
    },
    /// It cannot compute with the numbers that a recipe asks for.
    #[error("the device cannot compute in bfloat16, which {section}.arithmetic asks for; use \"float32\"")]
    NoBfloat16 {
        /// The config's section.
        section: &'static str,
    },
    /// Several that share batches, and cannot add up what they find.
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
        /// What the backend said.
        why: String,
    },
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        let index = |text: &str| text.parse::<usize>().map_err(|_| unknown());
        match text {
            "flex" => Ok(Self::Flex),
            "libtorch" => Ok(Self::Libtorch),
            "cubecl:cpu" => Ok(Self::CubeclCpu),
            _ => match (text.strip_prefix("libtorch:cuda:"), text.strip_prefix("cuda:")) {
                (Some(number), _) => Ok(Self::LibtorchCuda(index(number)?)),
                (None, Some(number)) => Ok(Self::Cuda(index(number)?)),
                (None, None) => Err(unknown()),
            },
        }
    }
}

impl TryFrom<String> for Device {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => f.write_str("flex"),
            Self::Libtorch => f.write_str("libtorch"),
            Self::LibtorchCuda(number) => write!(f, "libtorch:cuda:{number}"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::CubeclCpu => f.write_str("cubecl:cpu"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// One device, or several of one kind that share each batch; in configs a name or a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<Device>);

impl Default for Devices {
    fn default() -> Self {
        Self(vec![Device::default()])
    }
}

impl Serialize for Devices {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Devices {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Devices;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a device such as \"flex\", or a list such as [\"cuda:0\", \"cuda:1\"]")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Devices, E> {
                Ok(Devices(vec![name.parse().map_err(E::custom)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Devices, A::Error> {
                let mut devices: Vec<Device> = vec![];
                while let Some(device) = names.next_element()? {
                    devices.push(device);
                }
                let Some(first) = devices.first() else {
                    return Err(de::Error::custom("name at least one device"));
                };
                if let Some(other) =
                    devices.iter().find(|device| mem::discriminant(*device) != mem::discriminant(first))
                {
                    return Err(de::Error::custom(format!(
                        "{first} and {other} are of two kinds; devices that share a \
                         batch must be of one"
                    )));
                }
                Ok(Devices(devices))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

impl Devices {
    /// The devices themselves, tried out; at least one. `mixed_precision` names the config's section that asks for it.
    ///
    /// # Errors
    /// As [`Device::open`], and when they lack the numbers of mixed precision.
    pub fn open(&self, mixed_precision: Option<&'static str>) -> Result<Vec<Place>, DeviceError> {
        let places = self.0.iter().map(|device| device.open()).collect::<Result<Vec<_>, _>>()?;
        if have_all_reduce(&places) {
            self.add_up(|| count_by_all_reduce(&places))?;
        }
        match mixed_precision {
            Some(section) if !places[0].supports_dtype(FloatDType::BF16) => Err(DeviceError::NoBfloat16 { section }),
            _ => Ok(places),
        }
    }

    /// What whoever waits for a run on these devices should know, once they are open; once in a program.
    pub fn remark(&self) -> Option<String> {
        #[cfg(feature = "cuda-untuned")]
        if cfg!(feature = "cuda") && self.0.iter().any(|device| matches!(device, Device::Cuda(_))) {
            return super::tuned::remark();
        }
        None
    }

    /// Tries an all-reduce that counts the devices.
    fn add_up(&self, count: impl Fn() -> f32) -> Result<(), DeviceError> {
        let why = match tried(count) {
            Ok(count) if count == self.0.len() as f32 => return Ok(()),
            Ok(count) => format!("they say that there are {count} of them"),
            Err(why) => why,
        };
        let devices = self.0.iter().map(Device::to_string).collect::<Vec<_>>().join(", ");
        Err(DeviceError::NoAllReduce { devices, why })
    }
}

/// What a backend gives, or what it panics with. Backends panic when a driver or a GPU is missing; that is no fault of this
/// program, so its report is kept back.
fn tried<T>(work: impl Fn() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let tried = panic::catch_unwind(panic::AssertUnwindSafe(work));
    panic::set_hook(hook);
    tried.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the backend panicked");
        text.lines().next().unwrap_or_default().to_owned()
    })
}

impl Device {
    /// The device itself, tried out.
    ///
    /// # Errors
    /// When it is not built in or does not work on this machine.
    pub fn open(self) -> Result<Place, DeviceError> {
        let place = self.built()?;
        let not_there = |why: String| DeviceError::NotThere { device: self, why };
        let opened = tried(|| {
            let place = place()?;
            Some((Tensor::<1>::ones([2], &place).sum().into_scalar::<f32>(), place))
        });
        match opened {
            Ok(Some((2.0, place))) => Ok(place),
            Ok(Some((sum, _))) => Err(not_there(format!("it says that 1 + 1 is {sum}"))),
            Ok(None) => Err(not_there("libtorch finds no such GPU".into())),
            Err(why) => Err(not_there(why)),
        }
    }

    /// How to make it; a function that gives `None` when the backend says that it is not there.
    #[cfg_attr(
        feature = "tch",
        expect(deprecated, reason = "burn 0.22 is the last one with libtorch; Cargo.toml pins it")
    )]
    fn built(self) -> Result<Box<dyn Fn() -> Option<Place>>, DeviceError> {
        match self {
            Self::Flex => Ok(Box::new(|| Some(Place::flex()))),
            #[cfg(feature = "tch")]
            Self::Libtorch => Ok(Box::new(|| Some(Place::libtorch()))),
            #[cfg(feature = "tch")]
            Self::LibtorchCuda(number) => {
                Ok(Box::new(move || (tch::Cuda::device_count() > number as i64).then(|| Place::libtorch_cuda(number))))
            }
            #[cfg(feature = "cuda-untuned")]
            Self::Cuda(number) => {
                super::tuned::keep_kernels();
                Ok(Box::new(move || Some(Place::cuda(number))))
            }
            #[cfg(feature = "cubecl-cpu")]
            Self::CubeclCpu => Ok(Box::new(|| Some(Place::cpu()))),
            #[cfg(not(feature = "tch"))]
            Self::Libtorch | Self::LibtorchCuda(_) => Err(DeviceError::NotBuilt { device: self, feature: "tch" }),
            #[cfg(not(feature = "cuda-untuned"))]
            Self::Cuda(_) => Err(DeviceError::NotBuilt { device: self, feature: "cuda" }),
            #[cfg(not(feature = "cubecl-cpu"))]
            Self::CubeclCpu => Err(DeviceError::NotBuilt { device: self, feature: "cubecl-cpu" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for name in ["flex", "libtorch", "libtorch:cuda:3", "cuda:0", "cubecl:cpu"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn says_what_there_is() {
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "libtorch:0", "libtorch:cuda"] {
            let error = name.parse::<Device>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("no device is called {name:?}; there are: flex, libtorch")), "{error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(Device::Flex.open().is_ok());
    }

    #[test]
    fn a_device_that_is_not_built_in_names_its_feature() {
        let features = [
            ("libtorch", "tch", cfg!(feature = "tch")),
            ("cuda:0", "cuda", cfg!(feature = "cuda-untuned")),
            ("cubecl:cpu", "cubecl-cpu", cfg!(feature = "cubecl-cpu")),
        ];
        for (name, feature, built) in features {
            let device: Device = name.parse().unwrap();
            match device.open() {
                Err(error @ DeviceError::NotBuilt { .. }) if !built => assert_eq!(error, not_built(device, feature)),
                opened => assert!(built, "{name}: {opened:?}"),
            }
        }
        let said = not_built(Device::Cuda(0), "cuda").to_string();
        assert!(
            said.starts_with("device cuda:0 is not in this build, which lacks the Cargo feature cuda (see"),
            "{said}"
        );
    }

    fn not_built(device: Device, feature: &'static str) -> DeviceError {
        DeviceError::NotBuilt { device, feature }
    }

    #[test]
    fn devices_that_cannot_add_up_say_what_to_install() {
        let devices = Devices(vec![Device::Cuda(0), Device::Cuda(1)]);
        assert_eq!(devices.add_up(|| 2.0), Ok(()));
        let says = |count: fn() -> f32, why: &str| {
            let error = devices.add_up(count).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("devices cuda:0, cuda:1 cannot add up their gradients: {why}. ")),
                "{error}"
            );
            assert!(error.contains("libnccl-dev") && error.ends_with("Or use one device"), "{error}");
        };
        says(|| panic!("Can't use `comm_init` on cuda\nand more"), "Can't use `comm_init` on cuda");
        says(|| 1.0, "they say that there are 1 of them");
    }

    #[cfg(feature = "cuda-untuned")]
    #[test]
    fn a_gpu_beyond_the_last_is_refused() {
        let error = Device::Cuda(63).open().unwrap_err().to_string();
        assert!(error.starts_with("device cuda:63 does not work here: "), "{error}");
        assert!(error.ends_with("Check the GPU's number and its driver, or use device = \"flex\""), "{error}");
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_works_and_a_gpu_beyond_the_last_is_refused() {
        assert!(Device::Libtorch.open().is_ok());
        let error = Device::LibtorchCuda(63).open().unwrap_err().to_string();
        assert!(error.starts_with("device libtorch:cuda:63 does not work here: libtorch finds no such GPU"), "{error}");
    }
}
