//! Operations with their own forward and backward pass, each one `impl` of [`CustomOp`].
//!
//! burn runs an operation on the backend of its tensors, and with autodiff if they have gradients. The plumbing for
//! that (dispatch, backend extensions, nodes of the autodiff graph) is in `plumbing`; an operation defines its two
//! passes, composed of burn's operations for all backends, and replaces them by kernels on backends for which it has
//! some. The operations of this crate and of the quantizers are made in this way, and so are those of crates outside.

mod host;
mod plumbing;

use burn::{
    backend::{Backend, DispatchTensor, Flex, tensor::FloatTensor},
    tensor::Tensor,
};
pub use host::HostTensor;
pub use plumbing::OpBackend;
use std::fmt::Debug;

/// An operation on `N` float tensors, with its own forward and backward pass. Its options (sizes, bounds ...) are the
/// fields of the type that implements this.
///
/// [`CustomOp::forward`] and [`CustomOp::backward`] work on every backend. They get the backend's own tensors, without
/// gradients: `B::float_mul(a, b)` works on those directly, while [`OpBackend::tensor`] and [`OpBackend::primitive`]
/// convert to [`Tensor`] and back at no cost. A kernel replaces them on its backend (`forward_flex`, `backward_flex`
/// for the CPU, and the same for libtorch and CubeCL with the features that add those); a kernel that does not support
/// all inputs calls `self.forward::<Flex>(..)` for the others.
///
/// As an example, an operation that saves only its output for the backward pass, with its own loops on the CPU:
///
/// ```
/// use burn::{
///     backend::{Flex, TensorMetadata, flex::FlexTensor, tensor::FloatTensor},
///     tensor::{DType, Device, Tensor, TensorData},
/// };
/// use limpq_core::train::kernels::{CustomOp, OpBackend, Outputs, Saved};
///
/// /// y = a e^x, so dx = g y.
/// #[derive(Clone, Debug)]
/// struct ScaledExp {
///     a: f64,
/// }
///
/// impl CustomOp<1> for ScaledExp {
///     fn forward<B: OpBackend>(&self, [x]: [FloatTensor<B>; 1], _: bool) -> Outputs<B> {
///         let y = B::primitive(B::tensor::<2>(x).exp().mul_scalar(self.a));
///         Outputs::new(y.clone()).saving([y])
///     }
///
///     fn backward<B: OpBackend>(&self, saved: Saved<B>, g: FloatTensor<B>, _: [bool; 1]) -> [Option<FloatTensor<B>>; 1] {
///         let [y] = saved.unpack();
///         [Some(B::float_mul(g, y))]
///     }
///
///     // One pass over memory instead of two. Without this the above is used on the CPU, too.
///     fn forward_flex(&self, [x]: [FlexTensor; 1], saves: bool) -> Outputs<Flex> {
///         if x.dtype() != DType::F32 {
///             return self.forward::<Flex>([x], saves);
///         }
///         let x = x.to_contiguous();
///         let y: Vec<f32> = x.storage::<f32>().iter().map(|x| x.exp() * self.a as f32).collect();
///         let y = FlexTensor::from_data(TensorData::new(y, x.shape()));
///         Outputs::new(y.clone()).saving([y])
///     }
/// }
///
/// let x = Tensor::<2>::from_data([[0.0, 1.0]], &Device::flex().autodiff()).require_grad();
/// let y: Tensor<2> = ScaledExp { a: 2.0 }.apply([x.clone().into()]);
/// let gradients = y.clone().sum().backward();
/// assert_eq!(x.grad(&gradients).unwrap().into_data(), y.inner().into_data());
/// ```
pub trait CustomOp<const N: usize>: Clone + Debug + Send + 'static {
    /// The forward pass on any backend. If `saves` is false no gradients will be computed, and saved tensors are
    /// dropped.
    fn forward<B: OpBackend>(&self, inputs: [FloatTensor<B>; N], saves: bool) -> Outputs<B>;

    /// The backward pass on any backend: the gradients of the inputs, each of its input's shape, from the saved tensors
    /// and the gradient of the output. Those that are not `wanted` may be `None`.
    ///
    /// Without it the operation supports no gradients; it panics if they are computed.
    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<B>>; N] {
        let _ = (saved, gradient, wanted);
        panic!("{self:?} has no backward pass")
    }

    /// The forward pass on burn's CPU backend.
    fn forward_flex(&self, inputs: [FloatTensor<Flex>; N], saves: bool) -> Outputs<Flex> {
        self.forward::<Flex>(inputs, saves)
    }

    /// The backward pass on burn's CPU backend.
    fn backward_flex(
        &self,
        saved: Saved<Flex>,
        gradient: FloatTensor<Flex>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<Flex>>; N] {
        self.backward::<Flex>(saved, gradient, wanted)
    }

    /// The forward pass on libtorch.
    #[cfg(feature = "tch")]
    fn forward_libtorch(&self, inputs: [FloatTensor<LibTorch>; N], saves: bool) -> Outputs<LibTorch> {
        self.forward::<LibTorch>(inputs, saves)
    }

    /// The backward pass on libtorch.
    #[cfg(feature = "tch")]
    fn backward_libtorch(
        &self,
        saved: Saved<LibTorch>,
        gradient: FloatTensor<LibTorch>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<LibTorch>>; N] {
        self.backward::<LibTorch>(saved, gradient, wanted)
    }

    /// The forward pass with CubeCL, on GPUs and, for tests, on the CPU.
    #[cfg(feature = "cubecl")]
    fn forward_cube(&self, inputs: [FloatTensor<Cube>; N], saves: bool) -> Outputs<Cube> {
        self.forward::<Cube>(inputs, saves)
    }

    /// The backward pass with CubeCL.
    #[cfg(feature = "cubecl")]
    fn backward_cube(
        &self,
        saved: Saved<Cube>,
        gradient: FloatTensor<Cube>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<Cube>>; N] {
        self.backward::<Cube>(saved, gradient, wanted)
    }

    /// Applies the operation to tensors, which must be on one device.
    fn apply<const D: usize>(self, inputs: [AnyTensor; N]) -> Tensor<D> {
        self.apply_with_constants(inputs).0
    }

    /// The same, with [`Outputs::constants`].
    fn apply_with_constants<const D: usize>(self, inputs: [AnyTensor; N]) -> (Tensor<D>, Vec<AnyTensor>) {
        let (output, constants) = plumbing::dispatch(self, inputs.map(|input| input.0));
        (Tensor::from_dispatch(output), constants.into_iter().map(AnyTensor).collect())
    }
}

#[cfg(feature = "cubecl")]
use burn::backend::Cube;
#[cfg(feature = "tch")]
use burn::backend::LibTorch;

/// The result of a forward pass.
#[derive(Clone, Debug)]
pub struct Outputs<B: Backend> {
    /// The output, which has gradients.
    pub output: FloatTensor<B>,
    /// Further outputs, without gradients.
    pub constants: Vec<FloatTensor<B>>,
    /// Tensors for the backward pass.
    pub saved: Saved<B>,
}

impl<B: Backend> Outputs<B> {
    /// An output, without saved tensors.
    pub fn new(output: FloatTensor<B>) -> Self {
        Self { output, constants: vec![], saved: Saved(vec![]) }
    }

    /// The same with tensors for the backward pass.
    pub fn saving(self, tensors: impl IntoIterator<Item = FloatTensor<B>>) -> Self {
        Self { saved: Saved(tensors.into_iter().collect()), ..self }
    }

    /// The same with further outputs.
    pub fn with_constants(self, tensors: impl IntoIterator<Item = FloatTensor<B>>) -> Self {
        Self { constants: tensors.into_iter().collect(), ..self }
    }
}

/// Tensors that a forward pass saves for the backward pass.
#[derive(Clone, Debug)]
pub struct Saved<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend> Saved<B> {
    /// The tensors, in the order of [`Outputs::saving`].
    ///
    /// # Panics
    /// When there are not `K`.
    pub fn unpack<const K: usize>(self) -> [FloatTensor<B>; K] {
        let count = self.0.len();
        self.0.try_into().unwrap_or_else(|_| panic!("{K} saved tensors are wanted, and there are {count}"))
    }
}

/// A tensor of floats with any number of dimensions, as input of a [`CustomOp`].
#[derive(Clone, Debug)]
pub struct AnyTensor(DispatchTensor);

impl AnyTensor {
    /// The tensor with its dimensions.
    ///
    /// # Panics
    /// When it has another number of dimensions.
    pub fn tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_dispatch(self.0)
    }
}

impl<const D: usize> From<Tensor<D>> for AnyTensor {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}
