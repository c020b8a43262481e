//! Every operator against PyTorch, forward and backward, on the device that `LIMPQ_TEST_DEVICE` names, and against what it says
//! of itself. `tests/golden/operators.py` made the numbers and describes them.

use crate::fixtures;
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Gradients, Tensor, TensorData},
};
use limpq_core::{
    graph::{Builder, Graph, NodeId, Shape},
    ops::{ChannelSlice, Op, Operator, ParameterKind},
    registry::entries,
    train::{Array, Network, Plan, State},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Relative to the largest magnitude of a tensor. In PyTorch itself float32 is within 3e-6 of float64 here.
const TOLERANCE: f32 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    operator: String,
    attributes: serde_json::Map<String, serde_json::Value>,
    inputs: Inputs,
    training: bool,
    shape: [usize; 4],
    x: Vec<f32>,
    parameters: BTreeMap<String, Values>,
    output: Vec<f32>,
    upstream: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    running: BTreeMap<String, Vec<f32>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Inputs {
    Count(usize),
    Gate(Gate),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Gate {
    Gate,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Case {
    fn op(&self) -> Op {
        let attributes = toml::Table::try_from(&self.attributes).unwrap();
        Op::named(&self.operator, &attributes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A network of this operator alone.
    fn graph(&self) -> Graph {
        let [_, channels, height, width] = self.shape;
        let (mut b, x) = Builder::new("one", Shape::new(channels, height, width).unwrap(), 2);
        let half = channels / 2;
        let mut halves = || -> [NodeId; 2] {
            let [first, second] = [(0, half), (half, channels)];
            [first, second].map(|(start, end)| b.apply("", ChannelSlice { start, end }, &[x]))
        };
        let inputs = match self.inputs {
            Inputs::Count(1) => vec![x],
            Inputs::Count(_) => halves().to_vec(),
            Inputs::Gate(_) => {
                let [x, gate] = halves();
                vec![x, b.global_avg_pool(gate)]
            }
        };
        b.apply_op("op", self.op(), &inputs);
        b.finish().unwrap_or_else(|error| panic!("{}: {error}", self.operator))
    }

    fn state(&self) -> State {
        let named = |(name, Values { shape, values }): (&String, &Values)| {
            (full_name(name), Array { shape: shape.clone(), values: values.clone() })
        };
        State(self.parameters.iter().map(named).collect())
    }

    fn network(&self, state: &State) -> Network {
        let quantizer = crate::contracts::all::<dyn limpq_core::train::Quantizer>();
        let lsq = quantizer.into_iter().find(|(name, _)| *name == "lsq").expect("lsq is registered").1;
        let plan = Plan::full_precision(Arc::new(self.graph()), lsq.into());
        Network::new(&plan, state, &fixtures::device().autodiff()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The output for an input; and the dot product of the output with the upstream gradient, by which gradients are checked.
    fn run(&self, network: &Network, x: Tensor<4>) -> (Tensor<2>, Tensor<1>) {
        let output = network.forward(x, &network.plan().no_bits(), self.training);
        let upstream = Tensor::from_data(TensorData::new(self.upstream.clone(), output.dims()), &output.device());
        (output.clone(), (output * upstream).sum())
    }

    fn input(&self, values: &[f32]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), self.shape), &fixtures::device().autodiff())
    }

    fn name(&self) -> String {
        format!("{} {:?}", self.operator, self.attributes)
    }
}

/// The state-dict name of a parameter of the node `op`.
fn full_name(parameter: &str) -> String {
    if parameter.is_empty() { "op".to_owned() } else { format!("op.{parameter}") }
}

fn golden() -> Vec<Case> {
    let golden: Golden = serde_json::from_str(include_str!("golden/operators.json")).unwrap();
    golden.cases
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn assert_near(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1e-3f32, |largest, value| largest.max(value.abs()));
    for (place, (our, their)) in ours.iter().zip(theirs).enumerate() {
        assert!((our - their).abs() <= TOLERANCE * largest, "{what}, value {place}: {our} and {their}");
    }
}

/// The gradients of a module's parameters, in the module's order.
struct InOrder<'a> {
    gradients: &'a Gradients,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for InOrder<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.found.extend(parameter.val().grad(self.gradients).map(host));
    }
}

#[test]
fn every_operator_computes_what_pytorch_does() {
    for case in golden() {
        let name = case.name();
        let network = case.network(&case.state());
        let x = case.input(&case.x).require_grad();
        let (output, product) = case.run(&network, x.clone());
        let shape = case.graph().nodes.last().unwrap().shape;
        assert_eq!(case.output.len(), case.shape[0] * shape.elements(), "{name}: {shape}");
        assert_near(&name, &host(output), &case.output);
        let gradients = product.backward();
        assert_near(&format!("{name}, gradient of x"), &host(x.grad(&gradients).unwrap()), &case.gradients["x"]);
        let mut visitor = InOrder { gradients: &gradients, found: vec![] };
        network.visit(&mut visitor);
        let op = case.op();
        let inputs = case.graph().input_shapes(case.graph().nodes.len() - 1);
        let parameters = op.parameters(&inputs);
        let learned: Vec<_> = parameters.iter().filter(|parameter| parameter.kind != ParameterKind::Running).collect();
        assert_eq!(visitor.found.len(), learned.len(), "{name}");
        for (parameter, found) in learned.iter().zip(&visitor.found) {
            let what = format!("{name}, gradient of {}", parameter.name);
            assert_near(&what, found, &case.gradients[parameter.name]);
        }
        assert_eq!(case.gradients.len(), 1 + learned.len(), "{name}");
        let after = network.state();
        for (parameter, values) in &case.running {
            assert_near(&format!("{name}, {parameter}"), &after.0[&full_name(parameter)].values, values);
        }
    }
}

/// The slope along a direction, by central differences, is the dot product of the gradient with the direction.
#[test]
fn gradients_are_slopes() {
    const STEP: f32 = 2e-3;
    for case in golden() {
        let name = case.name();
        let value = |x: &[f32], state: &State| f64::from(host(case.run(&case.network(state), case.input(x)).1)[0]);
        let signs = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|place| if (place * 7 + seed * 5) % 11 < 5 { 1.0 } else { -1.0 }).collect()
        };
        let state = case.state();
        let check = |what: &str, slope: f64, gradient: &[f32], direction: &[f32]| {
            let product = |(a, b): (&f32, &f32)| f64::from(a * b);
            let expected: f64 = gradient.iter().zip(direction).map(product).sum();
            let length: f64 = gradient.iter().map(|value| f64::from(value.abs())).sum();
            assert!((slope - expected).abs() <= 2e-2 * length.max(1.0), "{name}, {what}: {slope} and {expected}");
        };
        for seed in 0..2 {
            let direction = signs(case.x.len(), seed);
            let moved = |step: f32| -> Vec<f32> { case.x.iter().zip(&direction).map(|(x, d)| x + step * d).collect() };
            let slope = (value(&moved(STEP), &state) - value(&moved(-STEP), &state)) / f64::from(2.0 * STEP);
            check("x", slope, &case.gradients["x"], &direction);
        }
        for (parameter, gradient) in case.gradients.iter().filter(|(parameter, _)| *parameter != "x") {
            let direction = signs(gradient.len(), 3);
            let moved = |step: f32| {
                let mut state = state.clone();
                let values = &mut state.0.get_mut(&full_name(parameter)).unwrap().values;
                values.iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                state
            };
            let slope = (value(&case.x, &moved(STEP)) - value(&case.x, &moved(-STEP))) / f64::from(2.0 * STEP);
            check(parameter, slope, gradient, &direction);
        }
    }
}

#[test]
fn every_registered_operator_has_a_case() {
    let tested: BTreeSet<String> = golden().iter().map(|case| case.op().name().to_owned()).collect();
    let registered: BTreeSet<String> =
        entries::<dyn Operator>().unwrap().into_iter().map(|entry| entry.name.to_owned()).collect();
    let missing: Vec<&String> = registered.difference(&tested).collect();
    assert_eq!(missing, ["input"], "the input is given, and not computed");
}

/// What costs and the search believe of an operator.
#[test]
fn operators_are_what_they_say() {
    for case in golden() {
        let (name, op) = (case.name(), case.op());
        let graph = case.graph();
        let node = graph.nodes.last().unwrap();
        let shapes = graph.input_shapes(graph.nodes.len() - 1);
        let network = case.network(&case.state());
        let outputs = |x: Vec<f32>| host(case.run(&network, case.input(&x)).0);
        let negative = |values: &[f32]| values.iter().any(|value| *value < 0.0);
        if !op.can_be_negative(&vec![true; shapes.len()]) {
            assert!(!negative(&outputs(case.x.clone())), "{name}");
        }
        if !op.can_be_negative(&vec![false; shapes.len()]) {
            assert!(!negative(&outputs(case.x.iter().map(|value| value.abs()).collect())), "{name}");
        }
        if op.is_elementwise() {
            assert_eq!(shapes.len(), 1, "{name}");
            assert_eq!(shapes[0].elements(), node.shape.elements(), "{name}");
        }
        if op.selects() {
            let known: BTreeSet<u32> = case.x.iter().chain(&[0.0]).map(|value| value.to_bits()).collect();
            assert!(outputs(case.x.clone()).iter().all(|value| known.contains(&value.to_bits())), "{name}");
        }
        if op.in_place() {
            assert!(shapes.contains(&node.shape) || shapes[0].elements() == node.shape.elements(), "{name}");
        }
        assert_eq!(op.operands().is_some(), graph.layers().len() == 1, "{name}");
    }
}
