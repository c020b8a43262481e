//! A value that does not depend on the image. Shapes are known at once, and so are small values; large ones, the weights, are
//! computed when they are asked for, so that a network is laid out without them.

use super::tensor::{Array, Data, count};
use std::{fmt, sync::Arc};

/// Values of no more elements than this are computed at once, if what they are made of is known.
const SMALL: usize = 4096;
/// No list of sizes, axes or indices is longer.
const MOST_INDICES: usize = 1 << 22;
/// No chain of computations on large values is longer; PyTorch's exporters write chains of four or five.
const LONGEST: u32 = 64;
/// No value takes more element operations than this.
const MOST_WORK: u64 = 1 << 36;

/// A value that does not depend on the image.
#[derive(Clone)]
pub struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) is_float: bool,
    values: Values,
    depth: u32,
    work: u64,
}

#[derive(Clone)]
enum Values {
    Known(Arc<Array>),
    Later(Arc<dyn Fn() -> Result<Array, String> + Send + Sync>),
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a constant {:?}", self.shape)
    }
}

impl From<Array> for Constant {
    fn from(array: Array) -> Self {
        let is_float = matches!(array.data, Data::Floats(_));
        let work = array.shape.iter().product::<usize>() as u64;
        Self { shape: array.shape.clone(), is_float, values: Values::Known(Arc::new(array)), depth: 0, work }
    }
}

impl Constant {
    /// A value that is read or computed later; `read` gives an array of this shape.
    pub(super) fn later(
        shape: Vec<usize>,
        is_float: bool,
        read: impl Fn() -> Result<Array, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let work = count(&shape)? as u64;
        Ok(Self { shape, is_float, values: Values::Later(Arc::new(read)), depth: 1, work })
    }

    /// The same value everywhere.
    pub(super) fn filled(shape: Vec<usize>, value: f32) -> Result<Self, String> {
        let size = count(&shape)?;
        let of = shape.clone();
        Self::later(shape, true, move || Ok(Array::floats(of.clone(), vec![value; size])))
    }

    /// Whole numbers in a row.
    pub(super) fn list(values: Vec<i64>) -> Self {
        Array::wholes(vec![values.len()], values).into()
    }

    /// What is computed from other constants: at once if that is little, else when it is asked for. `shape` is that of the result.
    ///
    /// # Errors
    /// What `compute` says; computations that are too long.
    pub(super) fn computed(
        inputs: &[Self],
        shape: Vec<usize>,
        is_float: bool,
        compute: impl Fn(Vec<Array>) -> Result<Array, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let values = count(&shape)?;
        let work = inputs.iter().fold(values as u64, |sum, input| sum.saturating_add(input.work));
        let known: Option<Vec<Array>> = inputs.iter().map(Self::known).collect();
        if let Some(known) = known.filter(|known| values <= SMALL && known.iter().all(|array| len(array) <= SMALL)) {
            let array = compute(known)?;
            debug_assert_eq!(array.shape, shape);
            return Ok(Self { work: values as u64, ..array.into() });
        }
        let depth = 1 + inputs.iter().map(|input| input.depth).max().unwrap_or_default();
        if depth > LONGEST || work > MOST_WORK {
            return Err("is computed from constants in more steps than limpq follows".to_owned());
        }
        let inputs = inputs.to_vec();
        let compute = move || compute(inputs.iter().map(Self::array).collect::<Result<_, _>>()?);
        Ok(Self { shape, is_float, values: Values::Later(Arc::new(compute)), depth, work })
    }

    fn known(&self) -> Option<Array> {
        match &self.values {
            Values::Known(array) => Some(array.as_ref().clone()),
            // Small weights of the file itself.
            Values::Later(_) if self.depth <= 1 && count(&self.shape).is_ok_and(|values| values <= SMALL) => {
                self.array().ok()
            }
            Values::Later(_) => None,
        }
    }

    /// Its values.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    pub(super) fn array(&self) -> Result<Array, String> {
        match &self.values {
            Values::Known(array) => Ok(array.as_ref().clone()),
            Values::Later(read) => read(),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values as floats.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    pub fn floats(&self) -> Result<Vec<f32>, String> {
        Ok(self.array()?.into_floats())
    }

    /// Whole numbers, if it is some.
    pub(super) fn ints(&self) -> Result<Vec<i64>, String> {
        if self.is_float {
            return Err("whole numbers are expected, but they are floating-point".to_owned());
        }
        if count(&self.shape)? > MOST_INDICES {
            return Err(format!("are {:?} whole numbers, more than are read", self.shape));
        }
        match self.array()?.data {
            Data::Wholes(values) => Ok(values),
            Data::Floats(_) => Err("whole numbers are expected, but they are floating-point".to_owned()),
        }
    }

    /// A single number, if it is one, whatever its shape.
    pub(super) fn scalar(&self) -> Option<f32> {
        if count(&self.shape) != Ok(1) {
            return None;
        }
        self.known()?.into_floats().first().copied()
    }

    /// The number that all its values are, if it has few.
    pub(super) fn uniform(&self) -> Option<f32> {
        if count(&self.shape).is_ok_and(|values| values > SMALL) {
            return None;
        }
        let values = self.known()?.into_floats();
        let first = *values.first()?;
        values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
    }
}

fn len(array: &Array) -> usize {
    match &array.data {
        Data::Floats(values) => values.len(),
        Data::Wholes(values) => values.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_computed_at_once_and_large_ones_later() {
        let doubled = |input: Constant| {
            let shape = input.shape.clone();
            let double = |arrays: Vec<Array>| {
                let [array] = arrays.try_into().map_err(|_| "one")?;
                let Data::Floats(values) = &array.data else { return Err("floats".to_owned()) };
                Ok(Array::floats(array.shape.clone(), values.iter().map(|value| 2.0 * value).collect()))
            };
            Constant::computed(&[input], shape, true, double)
        };
        let small = doubled(Array::floats(vec![2], vec![1.0, 2.0]).into()).unwrap();
        assert!(matches!(small.values, Values::Known(_)));
        let absent = Constant::later(vec![10_000], true, || Err("is absent".to_owned())).unwrap();
        let later = doubled(absent).unwrap();
        assert_eq!((later.shape(), later.floats()), (&[10_000][..], Err("is absent".to_owned())));
    }

    #[test]
    fn long_computations_are_refused() {
        let mut value = Constant::filled(vec![10_000], 1.0).unwrap();
        let mut steps = 0;
        let refused = loop {
            let next = Constant::computed(&[value.clone(), value], vec![10_000], true, |arrays| Ok(arrays[0].clone()));
            match next {
                Ok(next) => value = next,
                Err(why) => break why,
            }
            steps += 1;
        };
        assert!(steps < 40 && refused.contains("more steps"), "{steps} {refused}");
    }
}
