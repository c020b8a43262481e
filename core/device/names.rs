//! Devices by name, as configs give them: `flex`, `libtorch`, `libtorch:cuda:0`, `cuda:0`, `cubecl:cpu`.

use super::DeviceError;
use serde::{
    Deserialize, Serialize,
    de::{self, SeqAccess, Visitor},
};
use std::{fmt, mem, str::FromStr};

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
pub struct Devices(pub(super) Vec<Device>);

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
}
