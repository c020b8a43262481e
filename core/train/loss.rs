//! Training losses: cross entropy with label smoothing, and knowledge distillation.

use super::kernels::total;
use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax, activation::softmax};

/// Smoothed one-hot targets `[batch, classes]`: the fraction `smoothing` is spread evenly over all classes.
pub fn smoothed(labels: &[usize], classes: usize, smoothing: f64, device: &Device) -> Tensor<2> {
    let mut targets = vec![(smoothing / classes as f64) as f32; labels.len() * classes];
    for (row, &label) in targets.chunks_mut(classes).zip(labels) {
        row[label] += 1.0 - smoothing as f32;
    }
    Tensor::from_data(TensorData::new(targets, [labels.len(), classes]), device)
}

/// Cross entropy of logits and targets, both `[batch, classes]`; mean over the batch.
pub fn cross_entropy(scores: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let [batch, _] = scores.dims();
    total(log_softmax(scores, 1) * targets).div_scalar(-(batch as f64))
}

/// Knowledge distillation (Hinton et al., 2015): Kullback-Leibler divergence from the teacher's distribution to the
/// student's, both with logits divided by a temperature T, times T^2 so that gradients keep their magnitude; mean over
/// the batch.
pub fn distillation(scores: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, _] = scores.dims();
    let soft = |scores: Tensor<2>| scores.div_scalar(temperature);
    let distance = log_softmax(soft(teacher.clone()), 1) - log_softmax(soft(scores), 1);
    total(softmax(soft(teacher), 1) * distance).mul_scalar(temperature * temperature / batch as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rows: [[f32; 2]; 2]) -> Tensor<2> {
        Tensor::from_data(rows, &Device::flex())
    }

    #[test]
    fn smoothing_moves_a_share_of_the_target() {
        let targets = smoothed(&[1], 4, 0.2, &Device::flex()).into_data().try_to_vec::<f32>().unwrap();
        for (found, wanted) in targets.iter().zip([0.05, 0.85, 0.05, 0.05]) {
            assert!((found - wanted).abs() < 1e-6, "{targets:?}");
        }
    }

    #[test]
    fn cross_entropy_is_the_mean_of_the_true_class_s_surprise() {
        let targets = smoothed(&[0, 1], 2, 0.0, &Device::flex());
        let loss: f32 = cross_entropy(scores([[0.0, 0.0], [0.0, 3f32.ln()]]), targets).into_scalar();
        // -ln(1/2) and -ln(3/4).
        assert!((f64::from(loss) - (2f64.ln() + (4.0f64 / 3.0).ln()) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn distillation_is_the_divergence_of_softened_scores() {
        let teacher = scores([[2.0 * 3f32.ln(), 0.0], [1.0, 1.0]]);
        let same: f32 = distillation(teacher.clone(), teacher.clone(), 2.0).into_scalar();
        assert!(same.abs() < 1e-6);
        // At temperature 2 the teacher's first row is (3/4, 1/4), the student's (1/2, 1/2); the second rows agree.
        let loss: f32 = distillation(scores([[0.0, 0.0], [1.0, 1.0]]), teacher, 2.0).into_scalar();
        let divergence = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((f64::from(loss) - 4.0 * divergence / 2.0).abs() < 1e-6, "{loss}");
    }
}
