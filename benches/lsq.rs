//! LSQ fake quantization on the CPU, forward alone and with its backward pass: activations of 64 channels at 14x14 for a
//! batch of 8, against copying them as the least that any such operation must do.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limpq as _;
use limpq_core::{
    registry,
    search::BitWidth,
    train::{Grid, Quantizer, Role},
};

const ELEMENTS: usize = 8 * 64 * 14 * 14;

fn lsq(criterion: &mut Criterion) {
    let lsq = registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).expect("lsq is registered");
    let grid = Grid { bits: BitWidth::new(4).expect("4 is a bit-width"), signed: false };
    let mut group = criterion.benchmark_group("lsq");
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    let plain = Device::flex();
    let values = Tensor::<2>::random([1, ELEMENTS], Distribution::Uniform(0.0, 1.0), &plain);
    let step = lsq.start(Role::Act, values.clone(), grid);
    group.bench_function("copy", |b| b.iter(|| values.clone().add_scalar(1.0)));
    group.bench_function("forward", |b| b.iter(|| lsq.quantize(Role::Act, values.clone(), &step, grid)));
    let tracked = Tensor::<2>::from_data(values.to_data(), &plain.clone().autodiff()).require_grad();
    let learned = vec![Tensor::<1>::from_data(step[0].to_data(), &plain.autodiff()).require_grad()];
    group.bench_function("forward and backward", |b| {
        b.iter(|| lsq.quantize(Role::Act, tracked.clone(), &learned, grid).sum().backward());
    });
    group.finish();
}

criterion_group!(benches, lsq);
criterion_main!(benches);
