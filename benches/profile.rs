//! Time to describe a network and to compute every registered cost for it, as `limpq profile` and a search do first.

use criterion::{Criterion, criterion_group, criterion_main};
use limpq as _;
use limpq_core::graph::Model;
use limpq_core::registry::{build, entries};
use limpq_core::search::{Accounting, Candidates, CostModel, CostTable};
use std::hint::black_box;

const MODELS: [&str; 2] = ["resnet50", "mobilenet_v1"];

fn profile(criterion: &mut Criterion) {
    let candidates = Candidates::of(&[6, 5, 4, 3, 2]).expect("bit-widths");
    let input = "3x224x224".parse().expect("a shape");
    for name in MODELS {
        let model = build::<dyn Model>(name, &toml::Table::new()).expect("a registered model");
        let graph = model.graph(input, 1000).expect("224 pixels are enough");
        let mut group = criterion.benchmark_group(format!("profile_{name}"));
        group.bench_function("graph", |bencher| bencher.iter(|| model.graph(black_box(input), 1000)));
        for entry in entries::<dyn CostModel>().expect("plugins are linked") {
            let cost = build::<dyn CostModel>(entry.name, &toml::Table::new()).expect("its defaults work");
            group.bench_function(format!("cost_{}", entry.name), |bencher| {
                bencher.iter(|| {
                    CostTable::new(entry.name, &*cost, black_box(&graph), candidates.pairs(), Accounting::Exact)
                })
            });
        }
        group.finish();
    }
}

criterion_group!(benches, profile);
criterion_main!(benches);
