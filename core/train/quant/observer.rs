//! Observers: the range of values that a grid covers, from one or several calibration batches (Krishnamoorthi,
//! arXiv:1806.08342, section 3.1.1; Nagel et al., arXiv:2106.08295, section 3.1).

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the range of one batch is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observer {
    /// From the smallest to the largest value.
    #[default]
    MinMax,
    /// From the 0.1 % quantile to the 99.9 % quantile.
    Percentile,
    /// The min-max range, scaled by the factor that minimises the squared rounding error.
    Mse,
}

/// Fraction of the sorted values that [`Observer::Percentile`] leaves out at either end.
const OUTERMOST: f64 = 1e-3;
/// Number of evenly spaced scale factors that [`Observer::Mse`] tries.
const TRIED: usize = 50;

impl Observer {
    /// The ends of the range, each `[rows, 1]`, for values `[rows, elements]` and a grid with `steps` steps between its
    /// lowest and its highest level.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use limpq_core::train::quant::Observer;
    ///
    /// // 2000 values, of which the largest and the smallest are far from the others.
    /// let mut values: Vec<f32> = (0..2000).map(|place| place as f32 / 1999.0).collect();
    /// (values[0], values[1999]) = (-100.0, 100.0);
    /// let values = Tensor::<1>::from_floats(&values[..], &Device::flex()).reshape([1, 2000]);
    /// let ends = |observer: Observer| {
    ///     observer.range(values.clone(), 15.0).map(|end| end.into_data().try_to_vec::<f32>().unwrap()[0])
    /// };
    /// assert_eq!(ends(Observer::MinMax), [-100.0, 100.0]);
    /// let [low, high] = ends(Observer::Percentile);
    /// assert!(low >= 0.0 && low < 0.002 && high > 0.998 && high <= 1.0);
    /// let [low, high] = ends(Observer::Mse);
    /// assert!(low > -100.0 && high < 100.0);
    /// ```
    pub fn range(self, values: Tensor<2>, steps: f64) -> [Tensor<2>; 2] {
        let [_, elements] = values.dims();
        match self {
            Self::MinMax => [values.clone().min_dim(1), values.max_dim(1)],
            Self::Percentile => {
                let sorted = values.sort(1);
                let outermost = (elements as f64 * OUTERMOST) as usize;
                [outermost, elements - 1 - outermost].map(|place| sorted.clone().narrow(1, place, 1))
            }
            Self::Mse => {
                let [low, high] = Self::MinMax.range(values.clone(), steps);
                let error = |[low, high]: [Tensor<2>; 2]| {
                    // The smallest positive float, for rows of equal values.
                    let step = (high - low.clone()).div_scalar(steps).clamp_min(f32::MIN_POSITIVE);
                    let levels = ((values.clone() - low.clone()) / step.clone()).round().clamp(0.0, steps);
                    (levels * step + low - values.clone()).square().mean_dim(1)
                };
                let (mut best, mut least) = ([low.clone(), high.clone()], error([low.clone(), high.clone()]));
                for part in (1..TRIED).rev() {
                    let part = part as f64 / TRIED as f64;
                    let tried = [&low, &high].map(|end| end.clone().mul_scalar(part));
                    let found = error(tried.clone());
                    let better = found.clone().lower(least.clone());
                    least = least.mask_where(better.clone(), found);
                    let [low, high] = tried;
                    best = [best[0].clone().mask_where(better.clone(), low), best[1].clone().mask_where(better, high)];
                }
                best
            }
        }
    }
}

/// How the results of several batches are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcrossBatches {
    /// Their mean.
    #[default]
    Mean,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The exponential moving average in the order of the batches, with a weight of 0.1 for the newest.
    MovingAverage,
}

/// Weight of the newest batch in [`AcrossBatches::MovingAverage`].
const SHARE: f64 = 0.1;

impl AcrossBatches {
    /// Combines the values of several batches, element by element.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use limpq_core::train::quant::AcrossBatches;
    ///
    /// let batches = || [1.0, 2.0, 6.0].map(|end| Tensor::from_floats([end], &Device::flex())).to_vec();
    /// let of = |across: AcrossBatches| across.combine(batches()).into_data().try_to_vec::<f32>().unwrap()[0];
    /// assert_eq!((of(AcrossBatches::Mean), of(AcrossBatches::Min), of(AcrossBatches::Max)), (3.0, 1.0, 6.0));
    /// // 1, then 1.1, then 1.1 + 0.49.
    /// assert!((of(AcrossBatches::MovingAverage) - 1.59).abs() < 1e-6);
    /// ```
    ///
    /// # Panics
    /// Without a batch.
    pub fn combine(self, batches: Vec<Tensor<1>>) -> Tensor<1> {
        let share = 1.0 / batches.len() as f64;
        let mut batches = batches.into_iter();
        let first = batches.next().expect("there is a batch");
        match self {
            Self::Mean => batches.fold(first, |sum, next| sum + next).mul_scalar(share),
            Self::Min => batches.fold(first, |least, next| least.min_pair(next)),
            Self::Max => batches.fold(first, |largest, next| largest.max_pair(next)),
            Self::MovingAverage => batches.fold(first, |average, next| {
                let way = (next - average.clone()).mul_scalar(SHARE);
                average + way
            }),
        }
    }
}
