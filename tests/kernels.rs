//! Operations compared with burn's own, forward and backward, on the device that `LIMPQ_TEST_DEVICE` names.

use crate::fixtures;
use burn::{
    backend::{Flex, tensor::FloatTensor},
    tensor::{
        Device, Distribution, Tensor,
        module::{batch_norm_train, conv2d},
        ops::ConvOptions,
    },
};
use limpq_core::train::kernels::{
    AnyTensor, CustomOp, HostTensor, Normalised, OpBackend, Outputs, Saved, Window, batch_norm, batch_norm_evaluated,
    convolution, in_memory_order, relu,
};

fn device() -> Device {
    fixtures::device().autodiff()
}

fn random<const D: usize>(shape: [usize; D], (low, high): (f64, f64)) -> Tensor<D> {
    Tensor::<D>::random(shape, Distribution::Uniform(low, high), &device()).require_grad()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Alike to within a part of the largest.
fn assert_near<const D: usize>(what: &str, ours: Tensor<D>, theirs: Tensor<D>) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let (ours, theirs) = (numbers(ours), numbers(theirs));
    let largest = theirs.iter().fold(1e-3f32, |largest, number| largest.max(number.abs()));
    for (place, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert!((our - their).abs() <= 2e-5 * largest, "{what}, number {place}: {our} and {their}, largest {largest}");
    }
}

#[test]
fn batch_norms_are_burns() {
    // The last has more values than one thread is given.
    for shape in [[2, 3, 1, 1], [3, 1, 2, 5], [4, 5, 7, 3], [8, 16, 33, 32]] {
        let channels = [shape[1]];
        // Far from zero, where a variance from sums of squares would be lost.
        let input = random(shape, (99.0, 101.0));
        let (gamma, beta) = (random(channels, (-1.0, 2.0)), random(channels, (-1.0, 1.0)));
        let slopes = random(shape, (-1.0, 1.0)).detach();
        let Normalised { output, mean, variance } = batch_norm(input.clone(), gamma.clone(), beta.clone(), 1e-5);
        let theirs = batch_norm_train(input.clone(), gamma.clone(), beta.clone(), 1e-5);
        assert_near("mean", mean, theirs.mean);
        assert_near("variance", variance, theirs.variance);
        let name = format!("{shape:?}");
        // Numbers near 100 have 1e-5 in their last bit.
        let apart = numbers((output.clone() - theirs.output.clone()).abs().max());
        assert!(apart[0] < 1e-3, "{name}: {apart:?}");
        let ours = (output * slopes.clone()).sum().backward();
        let theirs = (theirs.output * slopes).sum().backward();
        let both = |name: &str, one: Option<Tensor<4>>, other: Option<Tensor<4>>| {
            let apart = numbers((one.unwrap() - other.unwrap()).abs().max())[0];
            assert!(apart < 2e-3, "{name}: {apart}");
        };
        both(&name, input.grad(&ours), input.grad(&theirs));
        assert_near("beta", beta.grad(&ours).unwrap(), beta.grad(&theirs).unwrap());
        let (ours, theirs) = (numbers(gamma.grad(&ours).unwrap()), numbers(gamma.grad(&theirs).unwrap()));
        assert!(ours.iter().zip(&theirs).all(|(one, other)| (one - other).abs() < 1e-2), "{ours:?} {theirs:?}");
    }
}

/// Without gradients by an operation of its own on most devices, with them by burn's: both by the formula.
#[test]
fn batch_norms_in_evaluation_are_the_formula() {
    for shape in [[2, 3, 1, 1], [4, 5, 7, 3], [8, 16, 33, 32]] {
        let channels = [shape[1]];
        let input = random(shape, (-3.0, 3.0));
        let bounds = [(-1.0, 2.0), (-1.0, 1.0), (-0.5, 0.5), (0.1, 2.0)];
        let parameters = bounds.map(|bounds| random(channels, bounds));
        let [gamma, beta, mean, variance] = parameters.clone().map(|tensor| tensor.reshape([1, shape[1], 1, 1]));
        let wanted = (input.clone() - mean) / (variance + 1e-3).sqrt() * gamma + beta;
        let name = format!("{shape:?}");
        assert_near(&name, batch_norm_evaluated(input.clone(), parameters.clone(), 1e-3), wanted.clone());
        // Channels last, as convolutions leave them.
        let last = in_memory_order(input.clone().inner(), 1, |values| values);
        assert_near(&name, batch_norm_evaluated(last, parameters.clone().map(Tensor::inner), 1e-3), wanted.clone());
        let gradient = |output: Tensor<4>| input.grad(&output.powi_scalar(2).sum().backward()).unwrap();
        let ours = gradient(batch_norm_evaluated(input.clone(), parameters, 1e-3));
        assert_near(&name, ours, gradient(wanted));
    }
}

/// Whatever the memory layout, values keep their positions.
#[test]
fn an_order_of_work_changes_no_place() {
    let values = random([2, 3, 5, 4], (-1.0, 1.0));
    for weights in [1, 1_000_000] {
        let once = in_memory_order(values.clone(), weights, |row| row.mul_scalar(2.0));
        let twice = in_memory_order(once.clone(), weights, |row| row.add_scalar(1.0));
        assert_eq!(numbers(twice.clone()), numbers(values.clone().mul_scalar(2.0).add_scalar(1.0)));
        let gradient = values.grad(&twice.powi_scalar(2).sum().backward()).unwrap();
        assert_near("gradient", gradient, (values.clone().mul_scalar(2.0).add_scalar(1.0)).mul_scalar(4.0));
    }
}

/// The first value of a channel may be far from all others: a corner where a convolution has seen padding.
#[test]
fn variances_do_not_depend_on_the_first_value() {
    let mut values: Vec<f32> = (0..40_000).map(|place| (place as f32 * 0.37).sin()).collect();
    values[0] = 100.0;
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let input = Tensor::<1>::from_floats(&values[..], &device()).reshape([4, 1, 100, 100]);
    let [gamma, beta] = [1.0, 0.0].map(|number| Tensor::<1>::from_data([number], &device()));
    let done = batch_norm(input, gamma, beta, 1e-5);
    let (found, wanted) = ([numbers(done.mean)[0], numbers(done.variance)[0]], [mean as f32, variance as f32]);
    let near = found.iter().zip(&wanted).all(|(found, wanted)| (found - wanted).abs() <= 1e-4 * wanted.abs().max(0.1));
    assert!(near, "{found:?} and {wanted:?}");
}

#[test]
fn values_that_are_none_give_statistics_that_are_none() {
    let input = Tensor::<4>::from_data([[[[f32::NAN, 1.0], [2.0, 3.0]]]], &device());
    let [gamma, beta] = [1.0, 0.0].map(|number| Tensor::<1>::from_data([number], &device()));
    let done = batch_norm(input, gamma, beta, 1e-5);
    assert!(numbers(done.mean)[0].is_nan() && numbers(done.variance)[0].is_nan());
}

#[test]
fn two_values_normalise_by_hand() {
    // Mean 3, variance 1: the normalised values are -1 and 1. y = 2 * (-1, 1) + 5.
    let [input, slopes] =
        [[[2.0, 4.0]], [[1.0, 0.0]]].map(|row| Tensor::<4>::from_data([[row]], &device()).require_grad());
    let [gamma, beta] = [2.0, 5.0].map(|number| Tensor::<1>::from_data([number], &device()).require_grad());
    let Normalised { output, mean, variance } = batch_norm(input.clone(), gamma.clone(), beta.clone(), 0.0);
    assert_eq!((numbers(output.clone()), numbers(mean), numbers(variance)), (vec![3.0, 7.0], vec![3.0], vec![1.0]));
    let gradients = (output * slopes.detach()).sum().backward();
    // sum(g) = 1, sum(g (x - m)) = -1: dx = 2 (g - 1/2 + (x - m)/2) = 2 (1 - 1/2 - 1/2, 0 - 1/2 + 1/2).
    assert_eq!(numbers(input.grad(&gradients).unwrap()), [0.0, 0.0]);
    assert_eq!(numbers(gamma.grad(&gradients).unwrap()), [-1.0]);
    assert_eq!(numbers(beta.grad(&gradients).unwrap()), [1.0]);
}

/// Bit-identical, at zeros of both signs and at NaN.
#[test]
fn rectifiers_are_burns() {
    let values = [-2.0, -0.0, 0.0, 1e-30, 3.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let input = || Tensor::<4>::from_data([[[values]]], &device()).require_grad();
    let slopes = Tensor::<4>::from_data([[[[1.5f32, 2.0, -3.0, 4.0, -5.0, 6.0, 7.0, 8.0]]]], &device());
    let run = |relu: fn(Tensor<4>) -> Tensor<4>| {
        let input = input();
        let output = relu(input.clone());
        let gradients = (output.clone() * slopes.clone()).sum().backward();
        // -0 and 0 are equal, and NaN is not equal to itself.
        let bits = |tensor: Tensor<4>| numbers(tensor).iter().map(|value| (value + 0.0).to_bits()).collect::<Vec<_>>();
        (bits(output), bits(input.grad(&gradients).unwrap()))
    };
    assert_eq!(run(relu), run(burn::tensor::activation::relu));
    let gradient = run(relu).1;
    assert_eq!(gradient[..5], [0.0f32, 0.0, 0.0, 4.0, -5.0].map(f32::to_bits));
}

#[test]
fn convolutions_are_burns() {
    // Images, kernel, stride, padding, groups.
    let cases = [
        ([2, 3, 5, 6], [4, 3, 3, 3], 1, 1, 1),
        ([3, 2, 7, 7], [5, 2, 3, 3], 2, 1, 1),
        ([9, 4, 8, 5], [3, 4, 1, 1], 1, 0, 1),
        ([17, 4, 9, 9], [3, 4, 1, 1], 2, 0, 1),
        ([2, 3, 23, 20], [4, 3, 7, 7], 2, 3, 1),
        ([1, 2, 2, 3], [2, 2, 3, 3], 3, 2, 1),
        ([5, 6, 8, 8], [6, 1, 3, 3], 2, 1, 6),
        ([2, 7, 1, 1], [5, 7, 1, 1], 1, 0, 1),
    ];
    for (images, kernel, stride, padding, groups) in cases {
        let name = format!("{images:?} {kernel:?} stride {stride}, padding {padding}, groups {groups}");
        let (images, kernel) = (random(images, (-1.0, 1.0)), random(kernel, (-1.0, 1.0)));
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
        let output = convolution(images.clone(), kernel.clone(), Window::square(stride, padding, groups));
        let theirs = conv2d(images.clone(), kernel.clone(), None, options);
        assert_near(&name, output.clone(), theirs.clone());
        let slopes = random(theirs.dims(), (-1.0, 1.0)).detach();
        let ours = (output * slopes.clone()).sum().backward();
        let theirs = (theirs * slopes).sum().backward();
        assert_near(&name, images.grad(&ours).unwrap(), images.grad(&theirs).unwrap());
        assert_near(&name, kernel.grad(&ours).unwrap(), kernel.grad(&theirs).unwrap());
    }
}

/// A convolution by its definition, in double precision: the output, and the gradients of images and kernel for the given
/// gradient of the output.
fn naive_convolution(
    [images, kernel, slopes]: [&[f32]; 3],
    [image_shape, kernel_shape, output_shape]: [[usize; 4]; 3],
    window: Window,
) -> [Vec<f64>; 3] {
    let place = |shape: [usize; 4], at: [usize; 4]| {
        (0..4).fold(0, |place, axis| {
            assert!(at[axis] < shape[axis], "{at:?} in {shape:?}");
            place * shape[axis] + at[axis]
        })
    };
    let [images, kernel, slopes] = [images, kernel, slopes].map(|numbers| {
        let numbers: Vec<f64> = numbers.iter().map(|&number| number.into()).collect();
        numbers
    });
    let [batch, outputs, rows, columns] = output_shape;
    let [_, channels, kernel_height, kernel_width] = kernel_shape;
    let per_group = outputs / window.groups;
    let mut output = vec![0.0; slopes.len()];
    let (mut of_images, mut of_kernel) = (vec![0.0; images.len()], vec![0.0; kernel.len()]);
    for (n, o, i, j) in (0..batch * outputs * rows * columns).map(|cell| {
        (cell / columns / rows / outputs, cell / columns / rows % outputs, cell / columns % rows, cell % columns)
    }) {
        let to = place(output_shape, [n, o, i, j]);
        for (c, k, l) in (0..channels * kernel_height * kernel_width)
            .map(|cell| (cell / kernel_width / kernel_height, cell / kernel_width % kernel_height, cell % kernel_width))
        {
            let y = (i * window.stride[0] + k * window.dilation[0]).checked_sub(window.padding[0]);
            let x = (j * window.stride[1] + l * window.dilation[1]).checked_sub(window.padding[1]);
            let (Some(y), Some(x)) = (y, x) else { continue };
            if y < image_shape[2] && x < image_shape[3] {
                let image = place(image_shape, [n, o / per_group * channels + c, y, x]);
                let weight = place(kernel_shape, [o, c, k, l]);
                output[to] += images[image] * kernel[weight];
                of_images[image] += slopes[to] * kernel[weight];
                of_kernel[weight] += slopes[to] * images[image];
            }
        }
    }
    [output, of_images, of_kernel]
}

#[test]
fn convolutions_of_any_window_are_their_definition() {
    let window = |stride, dilation, padding, groups| Window { stride, dilation, padding, groups };
    // Images, kernel, output, window.
    let cases = [
        ([2, 3, 6, 9], [4, 3, 1, 3], [2, 4, 6, 9], window([1, 1], [1, 1], [0, 1, 0, 1], 1)),
        ([2, 3, 9, 6], [4, 3, 5, 2], [2, 4, 5, 5], window([2, 1], [1, 1], [3, 0, 1, 0], 1)),
        ([3, 2, 8, 7], [5, 2, 3, 3], [3, 5, 4, 7], window([2, 1], [2, 1], [2, 1, 1, 1], 1)),
        ([9, 2, 7, 8], [3, 2, 2, 3], [9, 3, 4, 3], window([1, 3], [3, 2], [0, 2, 0, 3], 1)),
        // Rows and columns that no position of the kernel reaches, and padding as wide as the kernel.
        ([1, 2, 8, 9], [2, 2, 2, 2], [1, 2, 3, 4], window([3, 3], [1, 1], [0, 2, 0, 2], 1)),
        // What TensorFlow calls "same" for an even size and a stride of 2.
        ([2, 3, 8, 8], [4, 3, 3, 3], [2, 4, 4, 4], window([2, 2], [1, 1], [0, 0, 1, 1], 1)),
        ([4, 6, 7, 5], [6, 1, 3, 3], [4, 6, 4, 5], window([2, 1], [1, 1], [1, 0, 2, 2], 6)),
        ([2, 4, 7, 9], [6, 2, 3, 2], [2, 6, 5, 5], window([1, 2], [2, 3], [1, 2, 1, 1], 2)),
        ([2, 4, 5, 6], [3, 4, 1, 1], [2, 3, 5, 3], window([1, 2], [4, 4], [0, 0, 0, 0], 1)),
        ([3, 4, 4, 5], [2, 4, 1, 1], [3, 2, 6, 6], window([1, 1], [1, 1], [1, 0, 1, 1], 1)),
    ];
    for (image_shape, kernel_shape, output_shape, window) in cases {
        let name = format!("{image_shape:?} {kernel_shape:?} {window:?}");
        let (images, kernel) = (random(image_shape, (-1.0, 1.0)), random(kernel_shape, (-1.0, 1.0)));
        let output = convolution(images.clone(), kernel.clone(), window);
        assert_eq!(output.dims(), output_shape, "{name}");
        let [image, kernel_size, pixels] = [image_shape, kernel_shape, output_shape].map(|shape| [shape[2], shape[3]]);
        assert_eq!(window.output(image, kernel_size), pixels, "{name}");
        let slopes = random(output_shape, (-1.0, 1.0)).detach();
        let gradients = (output.clone() * slopes.clone()).sum().backward();
        let given = [images.clone(), kernel.clone(), slopes].map(numbers);
        let shapes = [image_shape, kernel_shape, output_shape];
        let wanted = naive_convolution(given.each_ref().map(|numbers| &numbers[..]), shapes, window);
        // The same without gradients.
        let inner = convolution(images.clone().inner(), kernel.clone().inner(), window);
        assert_eq!(numbers(inner), numbers(output.clone()), "{name}");
        let ours = [output, images.grad(&gradients).unwrap(), kernel.grad(&gradients).unwrap()];
        let wanted = wanted.into_iter().zip([output_shape, image_shape, kernel_shape]);
        for ((what, ours), (wanted, shape)) in ["output", "images", "kernel"].into_iter().zip(ours).zip(wanted) {
            let wanted: Vec<f32> = wanted.into_iter().map(|number| number as f32).collect();
            let wanted = Tensor::<1>::from_floats(&wanted[..], &device()).reshape(shape);
            assert_near(&format!("{what}, {name}"), ours, wanted);
        }
    }
}

#[test]
fn convolutions_take_any_layout_and_want_only_what_is_learned() {
    let images = random([3, 4, 6, 5], (-1.0, 1.0)).detach();
    let kernel = random([2, 5, 3, 3], (-1.0, 1.0));
    let window = Window::square(1, 1, 1);
    let turned = images.swap_dims(1, 3);
    let copied = Tensor::<4>::from_data(turned.to_data(), &device());
    let of = |images: Tensor<4>| {
        let output = convolution(images.clone(), kernel.clone(), window);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        assert!(images.grad(&gradients).is_none());
        (output, kernel.grad(&gradients).unwrap())
    };
    let ((ours, our_slopes), (theirs, their_slopes)) = (of(turned), of(copied));
    assert_near("output", ours, theirs);
    assert_near("gradient", our_slopes, their_slopes);
}

#[test]
fn what_entered_an_operation_stays_as_it_was() {
    // burn writes into tensors that nobody else holds: here they are held for the backward pass.
    let input = random([2, 3, 4, 4], (-1.0, 1.0));
    let kernel = random([3, 3, 3, 3], (-1.0, 1.0));
    let (gamma, beta) = (random([3], (0.5, 1.0)), random([3], (-1.0, 1.0)));
    let window = Window::square(1, 1, 1);
    let gradients = || {
        let hidden = convolution(input.clone().mul_scalar(2.0), kernel.clone(), window);
        let output = batch_norm(hidden, gamma.clone(), beta.clone(), 1e-5).output;
        // In place, if burn takes the output for nobody else's.
        let output = burn::tensor::activation::relu(output.add_scalar(0.1)).mul_scalar(3.0);
        let gradients = output.powi_scalar(2).sum().backward();
        [input.grad(&gradients).unwrap(), kernel.grad(&gradients).unwrap()].map(numbers)
    };
    assert_eq!(gradients(), gradients());
    let [of_input, _] = gradients();
    assert!(of_input.iter().any(|slope| slope.abs() > 1e-3));
}

/// a x^2 + b y for a row x and a number y, and x - y as an output without gradients.
#[derive(Clone, Debug)]
struct Mixed {
    a: f64,
    b: f64,
    /// The gradients that the backward pass is to be asked for.
    wanted: [bool; 2],
}

impl CustomOp<2> for Mixed {
    fn forward<B: OpBackend>(&self, [x, y]: [FloatTensor<B>; 2], _: bool) -> Outputs<B> {
        let squares = B::float_mul_scalar(B::float_mul(x.clone(), x.clone()), self.a.into());
        // The same by burn's tensors.
        let shift = B::tensor::<1>(y.clone()).reshape([1, 1]);
        let difference = B::primitive(B::tensor::<2>(x.clone()) - shift.clone());
        let output = B::primitive(B::tensor::<2>(squares) + shift.mul_scalar(self.b));
        Outputs::new(output).with_constants([difference]).saving([x])
    }

    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<B>>; 2] {
        assert_eq!(wanted, self.wanted);
        let [x] = saved.unpack();
        let of_x = B::float_mul_scalar(B::float_mul(x, gradient.clone()), (2.0 * self.a).into());
        let of_y = || B::primitive(B::tensor::<2>(gradient).sum().reshape([1]).mul_scalar(self.b));
        [wanted[0].then_some(of_x), wanted[1].then(of_y)]
    }
}

#[test]
fn an_operation_of_ones_own_has_its_own_gradients_and_constants() {
    let x = || Tensor::<2>::from_data([[1.0, -2.0, 3.0]], &device());
    let y = || Tensor::<1>::from_data([0.5], &device());
    let slopes = Tensor::<2>::from_data([[1.0, 2.0, 4.0]], &device());
    for wanted in [[true, true], [true, false], [false, true]] {
        let op = Mixed { a: 2.0, b: 10.0, wanted };
        let (x, y) = (x().set_require_grad(wanted[0]), y().set_require_grad(wanted[1]));
        let (output, constants) = op.apply_with_constants([x.clone().into(), y.clone().into()]);
        assert_eq!(numbers(output.clone()), [7.0, 13.0, 23.0]);
        let [difference] = constants.try_into().unwrap();
        assert_eq!(numbers(AnyTensor::tensor::<2>(difference)), [0.5, -2.5, 2.5]);
        let gradients = (output * slopes.clone()).sum().backward();
        assert_eq!(x.grad(&gradients).map(numbers), wanted[0].then(|| vec![4.0, -16.0, 48.0]));
        assert_eq!(y.grad(&gradients).map(numbers), wanted[1].then(|| vec![70.0]));
    }
    // Without gradients, and one with them beside one without.
    let op = Mixed { a: 2.0, b: 10.0, wanted: [true, false] };
    let plain: Tensor<2> = op.clone().apply([x().inner().into(), y().inner().into()]);
    assert!(!plain.is_autodiff());
    assert_eq!(numbers(plain), [7.0, 13.0, 23.0]);
    let x = x().require_grad();
    let mixed: Tensor<2> = op.apply([x.clone().into(), y().inner().into()]);
    assert_eq!(numbers(x.grad(&mixed.sum().backward()).unwrap()), [4.0, -8.0, 12.0]);
}

/// Doubles in place, where the values are in the processor's memory.
#[derive(Clone, Debug)]
struct Doubled;

impl CustomOp<1> for Doubled {
    fn forward<B: OpBackend>(&self, inputs: [FloatTensor<B>; 1], _: bool) -> Outputs<B> {
        Outputs::new(match HostTensor::<B>::all(inputs) {
            Ok([mut values]) => {
                values.values_mut().iter_mut().for_each(|value| *value *= 2.0);
                values.into_tensor()
            }
            Err([values]) => B::float_mul_scalar(values, 2.0.into()),
        })
    }
}

#[test]
fn loops_on_the_processor_leave_what_others_hold_alone() {
    let values = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &device().without_autodiff());
    let columns = values.clone().transpose();
    let doubled: Tensor<2> = Doubled.apply([columns.clone().into()]);
    assert_eq!(numbers(doubled), [2.0, 6.0, 4.0, 8.0]);
    let doubled: Tensor<2> = Doubled.apply([values.clone().into()]);
    assert_eq!(numbers(doubled), [2.0, 4.0, 6.0, 8.0]);
    assert_eq!(numbers(values), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(numbers(columns), [1.0, 3.0, 2.0, 4.0]);
}

#[test]
#[should_panic(expected = "Doubled has no backward pass")]
fn an_operation_without_a_backward_pass_says_so() {
    let value = || Flex::primitive(Tensor::<2>::from_data([[1.0]], &Device::flex()));
    let saved = Outputs::<Flex>::new(value()).saved;
    Doubled.backward_flex(saved, value(), [true]);
}
