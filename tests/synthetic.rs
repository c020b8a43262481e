//! Weights and images by a formula that Python computes too, so that golden files store none: see
//! `tests/golden/weights.py`.

use burn::tensor::{Device, Tensor, TensorData};
use limpq_core::{
    graph::Graph,
    train::{Array, State},
};

/// Numbers in [0, 1), as in `weights.py`.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (0..count as u64).map(move |i| {
        let z = start.wrapping_add(i).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// A network's weights.
pub fn state(graph: &Graph) -> State {
    let array = |name: &str, shape: Vec<usize>| {
        let numbers = uniform(name, shape.iter().product());
        let values: Vec<f32> = match shape.len() {
            2.. => {
                let limit = (4.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
                numbers.map(|u| ((2.0 * u - 1.0) * limit) as f32).collect()
            }
            _ if name.ends_with("bias") || name.ends_with("running_mean") => {
                numbers.map(|u| ((2.0 * u - 1.0) / 4.0) as f32).collect()
            }
            _ => numbers.map(|u| (0.5 + u) as f32).collect(),
        };
        Array { shape, values }
    };
    let shapes = State::shapes(graph).into_iter();
    State(shapes.map(|(name, shape)| (name.clone(), array(&name, shape))).collect())
}

/// The pixels of a batch.
pub fn pixels(name: &str, shape: [usize; 4]) -> Vec<f32> {
    uniform(name, shape.iter().product()).map(|u| (4.0 * u - 2.0) as f32).collect()
}

/// The same as a tensor.
pub fn images(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(pixels(name, shape), shape), device)
}
