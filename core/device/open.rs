//! Opening devices, with a self-test, so that a missing driver is an error at the start and not a panic later.

use super::{
    Device, DeviceError, Devices,
    all_reduce::{count, have_all_reduce},
};
use burn::tensor::{Device as Opened, FloatDType, Tensor};
use std::panic;

impl Devices {
    /// Opens the devices, at least one, and tests them. `mixed_precision` names the config's section that asks for it.
    ///
    /// # Errors
    /// As [`Device::open`], and when they do not have bfloat16.
    pub fn open(&self, mixed_precision: Option<&'static str>) -> Result<Vec<Opened>, DeviceError> {
        let opened = self.0.iter().map(|device| device.open()).collect::<Result<Vec<_>, _>>()?;
        if have_all_reduce(&opened) {
            self.add_up(|| count(&opened))?;
        }
        match mixed_precision {
            Some(section) if !opened[0].supports_dtype(FloatDType::BF16) => Err(DeviceError::NoBfloat16 { section }),
            _ => Ok(opened),
        }
    }

    /// A message for the user about these devices, once they are open; once per process.
    pub fn remark(&self) -> Option<String> {
        #[cfg(feature = "cuda-untuned")]
        if cfg!(feature = "cuda") && self.0.iter().any(|device| matches!(device, Device::Cuda(_))) {
            return super::kernel_cache::remark();
        }
        None
    }

    /// Tests an all-reduce that counts the devices.
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

/// The result of `work`, or its panic message. Backends panic when a driver or a GPU is missing; that is not a bug of
/// this program, so no report of it is printed.
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
    /// Opens the device and tests it.
    ///
    /// # Errors
    /// When it is not built in or does not work on this machine.
    pub fn open(self) -> Result<Opened, DeviceError> {
        let make = self.built()?;
        let not_there = |why: String| DeviceError::NotThere { device: self, why };
        let tried = tried(|| {
            let opened = make()?;
            Some((Tensor::<1>::ones([2], &opened).sum().into_scalar::<f32>(), opened))
        });
        match tried {
            Ok(Some((2.0, opened))) => Ok(opened),
            Ok(Some((sum, _))) => Err(not_there(format!("its self-test failed: it computes 1 + 1 = {sum}"))),
            Ok(None) => Err(not_there("libtorch finds no such GPU".into())),
            Err(why) => Err(not_there(why)),
        }
    }

    /// A function that makes it, and returns `None` when the backend says that there is no such device.
    #[cfg_attr(
        feature = "tch",
        expect(deprecated, reason = "burn 0.22 is the last one with libtorch; Cargo.toml pins it")
    )]
    fn built(self) -> Result<Box<dyn Fn() -> Option<Opened>>, DeviceError> {
        match self {
            Self::Flex => Ok(Box::new(|| Some(Opened::flex()))),
            #[cfg(feature = "tch")]
            Self::Libtorch => Ok(Box::new(|| Some(Opened::libtorch()))),
            #[cfg(feature = "tch")]
            Self::LibtorchCuda(number) => {
                Ok(Box::new(move || (tch::Cuda::device_count() > number as i64).then(|| Opened::libtorch_cuda(number))))
            }
            #[cfg(feature = "cuda-untuned")]
            Self::Cuda(number) => {
                super::kernel_cache::keep_kernels();
                Ok(Box::new(move || Some(Opened::cuda(number))))
            }
            #[cfg(feature = "cubecl-cpu")]
            Self::CubeclCpu => Ok(Box::new(|| Some(Opened::cpu()))),
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
