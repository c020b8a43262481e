//! The contracts of every registered plugin, whatever its name.

use crate::fixtures;
use burn::tensor::{Tensor, TensorData};
use limpq_core::{
    graph::{Graph, Layer, Model, Second, Shape},
    registry::{Kind, entries},
    run::{Stage, layout},
    search::{
        Accounting, BitWidth, Choice, CostModel, Group, NamedSolver, Precision, Problem, Row, Solved, Solver,
        SolverError, Status, solve,
    },
    train::{Dataset, Network, Plan, Quantizer, Sensitivity, State},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Options of plugins that cannot be built from their defaults.
fn needed(name: &str) -> toml::Table {
    let options = match name {
        "latency_table" => "path = 'tests/golden/measured.csv'\nallow_unused = true",
        "energy" => "path = 'tests/golden/measured_energy.csv'\nallow_unused = true",
        "latency_roofline" => "device = 't4'",
        _ => "",
    };
    options.parse().expect("options in TOML")
}

/// Every plugin of a kind, built from its defaults and required options.
pub fn all<P: ?Sized + Kind>() -> Vec<(&'static str, Box<P>)> {
    use limpq as _; // links the plugins in
    let made = entries::<P>().expect("plugins are linked and distinct").into_iter();
    made.map(|entry| (entry.name, (entry.build)(&needed(entry.name)).expect("defaults are valid"))).collect()
}

/// Models that need no file.
fn models() -> impl Iterator<Item = (&'static str, Box<dyn Model>)> {
    all::<dyn Model>().into_iter().filter(|(name, _)| *name != "onnx")
}

/// The network that a model describes for an input such as `3x32x32` and ten classes.
pub fn graph_of(model: &dyn Model, input: &str) -> Graph {
    model.graph(input.parse::<Shape>().unwrap(), 10).unwrap()
}

#[test]
fn every_kind_has_plugins_whose_options_are_described() {
    fn check<P: ?Sized + Kind>() {
        for entry in entries::<P>().unwrap() {
            assert!(!entry.about.is_empty() && entry.file.ends_with(".rs"), "{}", entry.name);
            for option in (entry.options)() {
                assert!(!option.about.is_empty(), "{}: option {} has no doc comment", entry.name, option.name);
            }
            let unknown = "no_such_option = 1".parse().unwrap();
            let error = (entry.build)(&unknown).err().expect("an unknown option is an error").to_string();
            assert!(error.contains("no_such_option"), "{}: {error}", entry.name);
            let resolved = (entry.resolve)(&needed(entry.name)).unwrap();
            assert_eq!((entry.resolve)(&resolved).unwrap(), resolved, "{}: defaults read back", entry.name);
        }
    }
    check::<dyn Quantizer>();
    check::<dyn Model>();
    check::<dyn CostModel>();
    check::<dyn Solver>();
    check::<dyn Sensitivity>();
    check::<dyn Dataset>();
    check::<dyn Stage>();
}

/// Random images for a network.
pub fn images(graph: &Graph, count: usize) -> Tensor<4> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let Shape { channels, height, width } = graph.input;
    let pixels: Vec<f32> = (0..count * graph.input.elements()).map(|_| random.random_range(-1.0f32..1.0)).collect();
    Tensor::from_data(TensorData::new(pixels, [count, channels, height, width]), &fixtures::device())
}

#[test]
fn models_run_and_their_figures_agree_with_the_run() {
    let quantizer: Arc<dyn Quantizer> = all::<dyn Quantizer>().remove(0).1.into();
    for (name, model) in models() {
        let graph = Arc::new(graph_of(model.as_ref(), "3x32x32"));
        let products = |layer: &&Layer| layer.second != Second::Weights;
        let ends = graph.fixed().iter().filter(|layer| !products(layer)).count();
        assert!(graph.searchable().len() >= 9 && ends == 2, "{name}");
        assert!(
            !graph.searchable().iter().any(|layer| products(&layer)),
            "{name}: products of activations keep 8 bits"
        );
        let state = State::random(&graph, 0);
        let shapes = state.0.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
        assert_eq!(State::shapes(&graph), shapes, "{name}");
        for layer in graph.layers().into_iter().filter(|layer| !products(&layer)) {
            let weights = &state.0[&format!("{}.weight", layer.name)];
            assert_eq!(weights.values.len() as u64, layer.weights, "{name}: {}", layer.name);
            let pixels = (layer.out_shape.height * layer.out_shape.width) as u64;
            assert_eq!(layer.macs, layer.weights * pixels, "{name}: {}", layer.name);
        }
        let plan = Plan::full_precision(graph.clone(), quantizer.clone());
        let network = Network::new(&plan, &state, &fixtures::device()).unwrap();
        let logits = network.forward(images(&graph, 2), &plan.no_bits(), false);
        assert_eq!(logits.dims(), [2, 10], "{name}");
        assert!(logits.into_data().try_to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()), "{name}");
        assert_eq!(network.state(), state, "{name}: what goes in comes out");
    }
}

#[test]
fn costs_are_positive_and_never_fall_as_bits_rise() {
    for (name, cost) in all::<dyn CostModel>() {
        let mut known = false;
        for (_, model) in models() {
            let graph = graph_of(model.as_ref(), "3x64x64");
            for accounting in [Accounting::Exact, Accounting::Limpq] {
                for layer in graph.layers() {
                    // A measured cost knows some bits only.
                    let at = |weight, act| {
                        let bits =
                            Precision { weight: BitWidth::new(weight).unwrap(), act: BitWidth::new(act).unwrap() };
                        cost.covers(&layer, bits).then(|| cost.cost(&layer, bits, accounting))
                    };
                    let never_falls = |low: Option<u64>, high| low.zip(high).is_none_or(|(low, high)| low <= high);
                    // A product of two activations stores no weights.
                    let positive = layer.weights == 0 || [1, 4, 8].into_iter().all(|bits| at(bits, bits) != Some(0));
                    assert!(positive, "{name} {}", layer.name);
                    for bits in 1..32 {
                        let rises =
                            never_falls(at(bits, 4), at(bits + 1, 4)) && never_falls(at(4, bits), at(4, bits + 1));
                        assert!(rises, "{name} {}", layer.name);
                        known |= at(bits, 4).is_some();
                    }
                }
            }
        }
        assert!(known, "{name} knows no layer of any model");
    }
}

#[test]
fn data_sets_give_the_same_normalised_samples_twice() {
    let mut loaded = 0;
    for (name, dataset) in all::<dyn Dataset>() {
        let data = match dataset.load() {
            Ok(data) => data,
            Err(error) => {
                println!("{name} skipped: {error}");
                continue;
            }
        };
        loaded += 1;
        assert!(!data.train.is_empty() && !data.test.is_empty() && data.classes > 1, "{name}");
        for set in [&data.train, &data.test] {
            let mut seen = vec![false; data.classes];
            for index in (0..set.len()).step_by(set.len() / 300 + 1) {
                let (mut first, mut second) = ([f32::NAN; 4096], [0.0; 4096]);
                let size = data.shape.elements();
                for draw in [Some(index as u64), None] {
                    set.image(index, draw, &mut first[..size]).unwrap();
                    set.image(index, draw, &mut second[..size]).unwrap();
                    assert!(first[..size] == second[..size], "{name}: the same draw, the same image");
                }
                let label = set.label(index);
                assert!(first[..size] == second[..size] && first[..size].iter().all(|v| v.abs() < 100.0), "{name}");
                seen[label] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "{name}: every class turns up");
        }
    }
    assert!(loaded > 0, "the embedded data set always loads");
}

fn instance(random: &mut ChaCha8Rng) -> Problem {
    let rows = random.random_range(1..=3);
    let groups: Vec<Group> = (0..random.random_range(1..=5))
        .map(|layer| Group {
            layers: vec![format!("layer{layer}")],
            choices: (0..random.random_range(1..=5u64))
                .map(|choice| Choice {
                    bits: vec![Precision::uniform(choice + 2).unwrap()],
                    loss: random.random_range(0.0..1.0),
                    costs: (0..rows).map(|row| (row, random.random_range(0..1_000_000))).collect(),
                })
                .collect(),
        })
        .collect();
    let mut problem = Problem { groups, rows: vec![] };
    for row in 0..rows {
        problem.rows.push(Row::new(format!("row{row}"), 0));
        let most: i128 =
            problem.groups.iter().map(|g| i128::from(g.choices.iter().map(|c| c.costs.of(row)).max().unwrap())).sum();
        let least = problem.least(row);
        // From slightly infeasible to hardly a limit; often met exactly by the minimum.
        problem.rows[row].limit = least - 1 + (most - least + 1) * random.random_range(0..=10) / 10;
    }
    problem
}

/// The optimum by enumeration, implemented independently of every solver.
fn optimum(problem: &Problem) -> Option<f64> {
    fn best(problem: &Problem, picks: &mut Vec<usize>) -> Option<f64> {
        if picks.len() == problem.groups.len() {
            return problem.feasible(picks).then(|| problem.objective(picks));
        }
        let choices = 0..problem.groups[picks.len()].choices.len();
        choices
            .filter_map(|choice| {
                picks.push(choice);
                let found = best(problem, picks);
                picks.pop();
                found
            })
            .min_by(f64::total_cmp)
    }
    best(problem, &mut vec![])
}

#[test]
fn solvers_equal_brute_force_keep_budgets_and_repeat_themselves() {
    for (name, solver) in all::<dyn Solver>() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let (mut solved, mut refused) = (0, 0);
        for _ in 0..60 {
            let problem = instance(&mut random);
            match (solve(NamedSolver::new(name, solver.as_ref()), &problem, None), optimum(&problem)) {
                (Ok(Solved { picks, objective, proof }), Some(best)) => {
                    solved += 1;
                    assert_eq!(proof.status, Status::Optimal, "{name}");
                    assert!((objective - best).abs() < 1e-9, "{name}: {objective}, optimum {best}");
                    assert!(problem.feasible(&picks), "{name}");
                    assert_eq!((proof.gap, proof.bound), (0.0, objective), "{name}");
                    assert_eq!(
                        solve(NamedSolver::new(name, solver.as_ref()), &problem, None).unwrap().picks,
                        picks,
                        "{name}: same answer twice"
                    );
                }
                (Err(SolverError::Infeasible), None) => refused += 1,
                (answer, best) => panic!("{name}: {answer:?}, optimum {best:?}"),
            }
        }
        assert!(solved > 10 && refused > 5, "{name}: {solved} solved, {refused} refused");
    }
}

/// Files of a run are found by name, and what a changed setting makes obsolete by the settings of each stage.
#[test]
fn a_stage_reads_what_built_in_stages_write_and_writes_files_of_its_own() {
    let plugins: Vec<_> = all::<dyn Stage>().into_iter().map(|(name, stage)| (name, stage.leaves())).collect();
    let written: Vec<String> = layout()
        .stages
        .iter()
        .flat_map(|stage| stage.names().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for (name, leaves) in &plugins {
        assert!(leaves.settings.contains(&format!("stages.{name}").as_str()), "{name}: its options matter");
        assert!(leaves.reads.iter().all(|file| written.contains(file)), "{name}: {:?}", leaves.reads);
        for file in leaves.names() {
            assert_eq!(
                written.iter().filter(|other| *other == file).count(),
                1,
                "{name}: {file} is another stage's too"
            );
        }
    }
    assert!(!plugins.is_empty());
}
