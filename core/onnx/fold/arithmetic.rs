//! Operators that compute with the values of constants.

use super::layout::spread;
use crate::onnx::{
    constant::Constant,
    proto::Node,
    shape,
    tensor::{Array, Data, Kind},
};

/// A function of one number.
#[derive(Clone, Copy)]
pub(super) struct Unary {
    float: fn(f32) -> f32,
    whole: fn(i64) -> Option<i64>,
}

/// A function of two numbers.
#[derive(Clone, Copy)]
pub(super) struct Binary {
    float: fn(f32, f32) -> f32,
    /// None where it has no value, such as a division by 0.
    whole: fn(i64, i64) -> Option<i64>,
    /// Whether its result is a truth value.
    says: bool,
}

pub(super) fn unary(operator: &str) -> Option<Unary> {
    let of = |float, whole| Some(Unary { float, whole });
    match operator {
        "Sqrt" => of(f32::sqrt, |_| None),
        "Reciprocal" => of(f32::recip, |_| None),
        "Exp" => of(f32::exp, |_| None),
        "Neg" => of(|x| -x, i64::checked_neg),
        "Abs" => of(f32::abs, i64::checked_abs),
        "Floor" => of(f32::floor, Some),
        "Ceil" => of(f32::ceil, Some),
        "Not" => of(|x| f32::from(u8::from(x == 0.0)), |x| Some(i64::from(x == 0))),
        _ => None,
    }
}

pub(super) fn binary(operator: &str) -> Option<Binary> {
    let numbers = |float, whole| Some(Binary { float, whole, says: false });
    let says = |float, whole| Some(Binary { float, whole, says: true });
    match operator {
        "Add" => numbers(|a, b| a + b, i64::checked_add),
        "Sub" => numbers(|a, b| a - b, i64::checked_sub),
        "Mul" => numbers(|a, b| a * b, i64::checked_mul),
        // Whole numbers are truncated, as in C.
        "Div" => numbers(|a, b| a / b, i64::checked_div),
        // The remainder of whole numbers has the divisor's sign, as in Python.
        "Mod" => numbers(
            |a, b| a % b,
            |a, b| a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
        ),
        "Pow" => numbers(f32::powf, |a, b| a.checked_pow(u32::try_from(b).ok()?)),
        "Min" => numbers(f32::min, |a, b| Some(a.min(b))),
        "Max" => numbers(f32::max, |a, b| Some(a.max(b))),
        "Equal" => says(|a, b| f32::from(u8::from(a == b)), |a, b| Some(i64::from(a == b))),
        "Greater" => says(|a, b| f32::from(u8::from(a > b)), |a, b| Some(i64::from(a > b))),
        "Less" => says(|a, b| f32::from(u8::from(a < b)), |a, b| Some(i64::from(a < b))),
        "And" => says(|a, b| f32::from(u8::from(a != 0.0 && b != 0.0)), |a, b| Some(i64::from(a != 0 && b != 0))),
        "Or" => says(|a, b| f32::from(u8::from(a != 0.0 || b != 0.0)), |a, b| Some(i64::from(a != 0 || b != 0))),
        _ => None,
    }
}

const NO_VALUE: &str = "has no value for these whole numbers";

impl Unary {
    pub fn of(self, input: &Constant) -> Result<Constant, String> {
        let Self { float, whole } = self;
        Constant::computed(std::slice::from_ref(input), input.shape.clone(), input.is_float, move |mut arrays| {
            let Array { shape, data } = arrays.swap_remove(0);
            let data = match data {
                Data::Floats(values) => Data::Floats(values.into_iter().map(float).collect()),
                Data::Wholes(values) => {
                    Data::Wholes(values.into_iter().map(whole).collect::<Option<_>>().ok_or(NO_VALUE)?)
                }
            };
            Ok(Array { shape, data })
        })
    }
}

impl Binary {
    /// Of two inputs or, for a sum or an extreme, several.
    pub fn of(self, inputs: &[Option<&Constant>]) -> Result<Constant, String> {
        let mut inputs = inputs.iter().flatten();
        let first = (*inputs.next().ok_or("has no inputs")?).clone();
        inputs.try_fold(first, |left, &right| self.of_two(&left, right))
    }

    fn of_two(self, left: &Constant, right: &Constant) -> Result<Constant, String> {
        let Self { float, whole, says } = self;
        let dims = shape::broadcast(&left.shape, &right.shape)?;
        let inputs = [spread(left, &dims)?, spread(right, &dims)?];
        let is_float = left.is_float || right.is_float;
        let of = dims.clone();
        Constant::computed(&inputs, dims, is_float && !says, move |mut arrays| {
            let (right, left) = (arrays.swap_remove(1), arrays.swap_remove(0));
            let data = match (left.data, right.data) {
                (Data::Wholes(left), Data::Wholes(right)) => {
                    let all: Option<_> = left.into_iter().zip(right).map(|(a, b)| whole(a, b)).collect();
                    Data::Wholes(all.ok_or(NO_VALUE)?)
                }
                (left, right) => {
                    let floats = |data| Array { shape: vec![], data }.into_floats();
                    let all = floats(left).into_iter().zip(floats(right)).map(|(a, b)| float(a, b));
                    if says {
                        Data::Wholes(all.map(|value| value as i64).collect())
                    } else {
                        Data::Floats(all.collect())
                    }
                }
            };
            Ok(Array { shape: of.clone(), data })
        })
    }
}

pub(super) fn cast(input: &Constant, to: i32) -> Result<Constant, String> {
    let kind = Kind::of(to)?;
    if kind == Kind::Bool {
        return Constant::computed(std::slice::from_ref(input), input.shape.clone(), false, |mut arrays| {
            let Array { shape, data } = arrays.swap_remove(0);
            let data = match data {
                Data::Floats(values) => values.into_iter().map(|value| i64::from(value != 0.0)).collect(),
                Data::Wholes(values) => values.into_iter().map(|value| i64::from(value != 0)).collect(),
            };
            Ok(Array { shape, data: Data::Wholes(data) })
        });
    }
    cast_like(input, kind.is_float())
}

pub(in crate::onnx) fn cast_like(input: &Constant, float: bool) -> Result<Constant, String> {
    if input.is_float == float {
        return Ok(input.clone());
    }
    Constant::computed(std::slice::from_ref(input), input.shape.clone(), float, move |mut arrays| {
        let Array { shape, data } = arrays.swap_remove(0);
        let data = match data {
            Data::Wholes(values) if float => Data::Floats(values.into_iter().map(|value| value as f32).collect()),
            Data::Floats(values) if !float => Data::Wholes(values.into_iter().map(|value| value as i64).collect()),
            same => same,
        };
        Ok(Array { shape, data })
    })
}

/// Where: the second input where the first is true, else the third.
pub(super) fn choose(inputs: &[Option<&Constant>]) -> Result<Constant, String> {
    let [Some(condition), Some(yes), Some(no)] = inputs else { return Err("takes three inputs".to_owned()) };
    let dims = shape::broadcast(&shape::broadcast(&condition.shape, &yes.shape)?, &no.shape)?;
    if yes.is_float != no.is_float {
        return Err("chooses between floats and whole numbers".to_owned());
    }
    let (of, float) = (dims.clone(), yes.is_float);
    let inputs = [spread(condition, &dims)?, spread(yes, &dims)?, spread(no, &dims)?];
    Constant::computed(&inputs, dims, float, move |arrays| {
        fn chosen<T: Copy>(condition: &[i64], yes: &[T], no: &[T]) -> Vec<T> {
            condition.iter().zip(yes.iter().zip(no)).map(|(&is, (&yes, &no))| if is != 0 { yes } else { no }).collect()
        }
        let Data::Wholes(condition) = &arrays[0].data else { return Err("its condition is no truth value".to_owned()) };
        let data = match (&arrays[1].data, &arrays[2].data) {
            (Data::Floats(yes), Data::Floats(no)) => Data::Floats(chosen(condition, yes, no)),
            (Data::Wholes(yes), Data::Wholes(no)) => Data::Wholes(chosen(condition, yes, no)),
            _ => return Err("chooses between floats and whole numbers".to_owned()),
        };
        Ok(Array { shape: of.clone(), data })
    })
}

/// No list of consecutive numbers is longer: they are indices of images and tokens.
const LONGEST_RANGE: i64 = 1 << 20;

pub(super) fn range(inputs: &[Option<&Constant>]) -> Result<Constant, String> {
    let number = |place: usize| match inputs.get(place).copied().flatten().map(Constant::ints) {
        Some(Ok(values)) if values.len() == 1 => Ok(values[0]),
        _ => Err("needs three whole numbers".to_owned()),
    };
    let (start, end, step) = (number(0)?, number(1)?, number(2)?);
    let room =
        end.checked_sub(start).filter(|room| room.unsigned_abs() <= LONGEST_RANGE as u64).ok_or("is too long")?;
    if step == 0 {
        return Err("has a step of 0".to_owned());
    }
    let count = if (room > 0) == (step > 0) { room.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
    Ok(Constant::list((0..count as i64).map(|place| start + place * step).collect()))
}

pub(super) fn product(node: &Node, input: &Constant, axes: Option<&Constant>) -> Result<Constant, String> {
    if shape::list(node, "axes", axes)?.is_some_and(|axes| !axes.is_empty()) && input.shape.len() != 1 {
        return Err("is taken along single axes".to_owned());
    }
    let product = input.ints()?.into_iter().try_fold(1i64, i64::checked_mul).ok_or("is too large")?;
    let dims = if node.int("keepdims") == Some(0) { vec![] } else { vec![1; input.shape.len()] };
    Ok(Array::wholes(dims, vec![product]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wholes(values: &[i64]) -> Constant {
        Constant::list(values.to_vec())
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let of = |operator: &str, a: &[i64], b: &[i64]| {
            binary(operator).unwrap().of(&[Some(&wholes(a)), Some(&wholes(b))]).and_then(|result| result.ints())
        };
        assert_eq!(of("Div", &[7, -7], &[2]).unwrap(), [3, -3]);
        assert_eq!(of("Mod", &[7, -7], &[4]).unwrap(), [3, 1]);
        assert_eq!(of("Equal", &[1, 2], &[1]).unwrap(), [1, 0]);
        assert!(of("Div", &[1], &[0]).is_err() && of("Mul", &[i64::MAX], &[2]).is_err());
    }

    #[test]
    fn floats_and_choices() {
        let floats: Constant = Array::floats(vec![2], vec![4.0, 9.0]).into();
        assert_eq!(unary("Sqrt").unwrap().of(&floats).unwrap().floats().unwrap(), [2.0, 3.0]);
        assert_eq!(cast(&floats, 7).unwrap().ints().unwrap(), [4, 9]);
        let chosen = choose(&[Some(&wholes(&[1, 0])), Some(&wholes(&[5])), Some(&wholes(&[-1, -2]))]);
        assert_eq!(chosen.unwrap().ints().unwrap(), [5, -2]);
        let counted = range(&[Some(&wholes(&[1])), Some(&wholes(&[8])), Some(&wholes(&[3]))]);
        assert_eq!(counted.unwrap().ints().unwrap(), [1, 4, 7]);
        assert!(range(&[Some(&wholes(&[0])), Some(&wholes(&[i64::MAX])), Some(&wholes(&[1]))]).is_err());
    }
}
