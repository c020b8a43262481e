//! Tensors of an ONNX file: their declared sizes, and their values as arrays.

use super::{external, proto::Tensor};
use std::path::Path;

/// Where external data is marked: `TensorProto.DataLocation.EXTERNAL`.
pub(super) const EXTERNAL: i32 = 1;
/// No tensor has more values; products of sizes stay far from overflow.
pub(super) const MOST_VALUES: usize = 1 << 34;

/// An array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Values of an array. Truth values are whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Floats(Vec<f32>),
    Wholes(Vec<i64>),
}

impl Array {
    pub fn wholes(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Self { shape, data: Data::Wholes(values) }
    }

    pub fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, data: Data::Floats(values) }
    }

    /// Its values as floats.
    pub fn into_floats(self) -> Vec<f32> {
        match self.data {
            Data::Floats(values) => values,
            Data::Wholes(values) => values.into_iter().map(|value| value as f32).collect(),
        }
    }
}

/// Data types of ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Double,
    Half,
    Brain,
    Uint8,
    Int8,
    Uint16,
    Int16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Bool,
}

impl Kind {
    pub fn of(data_type: i32) -> Result<Self, String> {
        Ok(match data_type {
            1 => Self::Float,
            2 => Self::Uint8,
            3 => Self::Int8,
            4 => Self::Uint16,
            5 => Self::Int16,
            6 => Self::Int32,
            7 => Self::Int64,
            9 => Self::Bool,
            10 => Self::Half,
            11 => Self::Double,
            12 => Self::Uint32,
            13 => Self::Uint64,
            16 => Self::Brain,
            other => return Err(format!("is of data type {other} of ONNX, which is not read")),
        })
    }

    /// Whether its values are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Double | Self::Half | Self::Brain)
    }

    fn bytes(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 | Self::Bool => 1,
            Self::Half | Self::Brain | Self::Uint16 | Self::Int16 => 2,
            Self::Float | Self::Int32 | Self::Uint32 => 4,
            Self::Double | Self::Int64 | Self::Uint64 => 8,
        }
    }
}

/// Shape of a tensor.
pub(super) fn shape(tensor: &Tensor) -> Result<Vec<usize>, String> {
    let sizes: Result<Vec<usize>, _> = tensor.dims.iter().map(|&size| usize::try_from(size)).collect();
    let shape = sizes.map_err(|_| format!("has the shape {:?}", tensor.dims))?;
    count(&shape).map(|_| shape)
}

/// Number of values of a shape.
pub(super) fn count(shape: &[usize]) -> Result<usize, String> {
    let values = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    values
        .filter(|&values| values <= MOST_VALUES)
        .ok_or_else(|| format!("has the shape {shape:?}, more than {MOST_VALUES} values"))
}

/// That what is in the file is as large as declared.
///
/// # Errors
/// What is not, in words that follow the tensor's name.
pub(super) fn check(tensor: &Tensor) -> Result<(), String> {
    let values = count(&shape(tensor)?)?;
    if tensor.data_location == Some(EXTERNAL) {
        return Ok(());
    }
    // Types that are not read may not be used either.
    let Ok(kind) = Kind::of(tensor.data_type) else { return Ok(()) };
    let (what, found, wanted) = match &tensor.raw_data {
        Some(raw) => ("bytes", raw.len(), values * kind.bytes()),
        None => ("values", typed_len(tensor, kind), values),
    };
    match found == wanted {
        true => Ok(()),
        false => Err(format!("has {found} {what}, but its shape {:?} needs {wanted}", tensor.dims)),
    }
}

fn typed_len(tensor: &Tensor, kind: Kind) -> usize {
    match kind {
        Kind::Float => tensor.float_data.len(),
        Kind::Double => tensor.double_data.len(),
        Kind::Int64 => tensor.int64_data.len(),
        Kind::Uint32 | Kind::Uint64 => tensor.uint64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

/// The values of a tensor; external ones are read from `folder`.
///
/// # Errors
/// Types that are not read, sizes that differ from the declared ones, external data that cannot be read.
pub(super) fn array(tensor: &Tensor, folder: &Path) -> Result<Array, String> {
    let (kind, shape) = (Kind::of(tensor.data_type)?, shape(tensor)?);
    check(tensor)?;
    if tensor.data_location == Some(EXTERNAL) {
        let wanted = (count(&shape)? * kind.bytes()) as u64;
        return Ok(Array { shape, data: decoded(&external::bytes(folder, tensor, wanted)?, kind) });
    }
    if let Some(raw) = &tensor.raw_data {
        return Ok(Array { shape, data: decoded(raw, kind) });
    }
    let data = match kind {
        Kind::Float => Data::Floats(tensor.float_data.clone()),
        Kind::Double => Data::Floats(tensor.double_data.iter().map(|&value| value as f32).collect()),
        Kind::Half => Data::Floats(tensor.int32_data.iter().map(|&bits| half(bits as u16)).collect()),
        Kind::Brain => Data::Floats(tensor.int32_data.iter().map(|&bits| brain(bits as u16)).collect()),
        Kind::Int64 => Data::Wholes(tensor.int64_data.clone()),
        Kind::Uint32 | Kind::Uint64 => Data::Wholes(tensor.uint64_data.iter().map(|&value| value as i64).collect()),
        _ => Data::Wholes(tensor.int32_data.iter().map(|&value| i64::from(value)).collect()),
    };
    Ok(Array { shape, data })
}

/// Values from little-endian bytes.
fn decoded(bytes: &[u8], kind: Kind) -> Data {
    macro_rules! wholes {
        ($type:ty) => {
            Data::Wholes(bytes.as_chunks().0.iter().map(|&raw| <$type>::from_le_bytes(raw) as i64).collect())
        };
    }
    match kind {
        Kind::Float => Data::Floats(bytes.as_chunks().0.iter().map(|&raw| f32::from_le_bytes(raw)).collect()),
        Kind::Double => Data::Floats(bytes.as_chunks().0.iter().map(|&raw| f64::from_le_bytes(raw) as f32).collect()),
        Kind::Half => Data::Floats(bytes.as_chunks().0.iter().map(|&raw| half(u16::from_le_bytes(raw))).collect()),
        Kind::Brain => Data::Floats(bytes.as_chunks().0.iter().map(|&raw| brain(u16::from_le_bytes(raw))).collect()),
        Kind::Uint8 | Kind::Bool => wholes!(u8),
        Kind::Int8 => wholes!(i8),
        Kind::Uint16 => wholes!(u16),
        Kind::Int16 => wholes!(i16),
        Kind::Int32 => wholes!(i32),
        Kind::Uint32 => wholes!(u32),
        Kind::Int64 => wholes!(i64),
        Kind::Uint64 => wholes!(u64),
    }
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// bfloat16: the upper half of single precision.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The shortest decimal number that a float stands for.
pub(super) fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a float's own text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_floats_are_decoded() {
        // From numpy: np.array([1, -2.5, 6e-8, 65504, inf], np.float16).view(np.uint16).
        for (bits, value) in
            [(0x3c00, 1.0), (0xc100, -2.5), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0), (0x7c00, f32::INFINITY)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c01).is_nan());
        assert_eq!((brain(0x3f80), brain(0xc020)), (1.0, -2.5));
        assert_eq!(decimal(1e-5), 1e-5);
    }

    #[test]
    fn typed_and_raw_values_are_the_same() {
        let typed = Tensor { dims: vec![2], data_type: 1, float_data: vec![1.5, -2.0], ..Tensor::default() };
        let raw: Vec<u8> = [1.5f32, -2.0].into_iter().flat_map(f32::to_le_bytes).collect();
        let raw = Tensor { dims: vec![2], data_type: 1, raw_data: Some(raw.into()), ..Tensor::default() };
        let folder = Path::new("");
        assert_eq!(array(&typed, folder).unwrap(), array(&raw, folder).unwrap());
        let bytes =
            Tensor { dims: vec![3], data_type: 3, raw_data: Some(vec![1, 0xff, 0x80].into()), ..Tensor::default() };
        assert_eq!(array(&bytes, folder).unwrap(), Array::wholes(vec![3], vec![1, -1, -128]));
    }

    #[test]
    fn declared_sizes_are_checked() {
        let wrong = |dims: Vec<i64>| {
            check(&Tensor { dims, data_type: 1, float_data: vec![0.0; 4], ..Tensor::default() }).unwrap_err()
        };
        assert!(wrong(vec![5]).contains("has 4 values, but its shape [5] needs 5"));
        assert!(wrong(vec![-1]).contains("has the shape [-1]"));
        assert!(wrong(vec![1 << 40, 1 << 40]).contains("more than"));
    }
}
