//! Networks from ONNX files (<https://onnx.ai>), as data: no tensors, no inference engine.
//!
//! One forward walk over the nodes describes the network to a [`Builder`]: each value is a constant, which is folded at once, or a
//! node of the network together with how its axes are arranged, so that transpositions cost nothing. Layers are called as in the
//! state dict of the PyTorch module that was exported, wherever the file tells. Structure needs no weights: values are read, from
//! the file or the external data beside it, only when [`Imported::parameters`] are asked for them.

mod axes;
mod constant;
mod error;
mod external;
mod file;
mod fold;
mod names;
mod ops;
pub mod proto;
mod shape;
mod tensor;
mod walk;

pub use constant::Constant;
pub use error::{OnnxError, Refusal, Refusals};
pub use file::OnnxFile;

use crate::graph::{Builder, Graph, NodeId, Shape, fixed_bits};
use axes::{Axes, Role};
use file::is_onnx;
use proto::Node;
use std::collections::BTreeMap;
use walk::{Links, Map, Value, Walk};

/// A network from an ONNX file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network. Its first and last layer keep their bits.
    pub graph: Graph,
    /// Its parameters by state-dict name: `conv1.weight`.
    pub parameters: BTreeMap<String, Constant>,
    /// Whether the file ends with a softmax, which was cut off: a loss wants logits.
    pub softmax: bool,
}

/// Operators of ONNX that are read.
pub fn operators() -> impl Iterator<Item = &'static str> {
    ops::names()
}

/// What a file says of its images: channels, height and width, those that are known.
///
/// # Errors
/// Several inputs, or one that is no image.
pub fn declared_input(file: &OnnxFile, output: Option<&str>) -> Result<[Option<usize>; 3], OnnxError> {
    let interface = Interface::of(file, output)?;
    let size = |axis: usize| interface.sizes[axis];
    Ok(if interface.channels_last { [size(3), size(1), size(2)] } else { [size(1), size(2), size(3)] })
}

/// The network for images of this shape. `output` chooses one of several outputs.
///
/// # Errors
/// Files that are no classifier of images, or whose nodes cannot all be computed; every node that cannot is named.
pub fn import(file: &OnnxFile, input: Shape, output: Option<&str>) -> Result<Imported, OnnxError> {
    let interface = Interface::of(file, output)?;
    let path = file.path().display().to_string();
    let wrong = |why: String| OnnxError::Interface { path: path.clone(), why };
    let declared = declared_input(file, output)?;
    if let Some(channels) = declared[0].filter(|&channels| channels != input.channels) {
        return Err(wrong(format!(
            "its images have {channels} channels, not {}; give the shape that it was exported for",
            input.channels
        )));
    }
    let (builder, image) = Builder::new("onnx", input, 1);
    let mut walk = Walk::new(file, &interface.links, builder, interface.batch, interface.logits);
    let mut axes = Axes::image(interface.batch, input);
    if interface.channels_last {
        axes = axes.permuted(&[0, 2, 3, 1]);
    }
    walk.set(interface.input, Map { node: image, axes });
    walk.run();
    let nodes = interface.links.needed.iter().filter(|&&needed| needed).count();
    if !walk.refusals.is_empty() {
        let (opset, producer) = (file.opset(), file.producer());
        let refusals = Refusals { nodes: std::mem::take(&mut walk.refusals), of: nodes, opset, producer };
        return Err(OnnxError::Nodes { path, refusals });
    }
    let (last, classes) = logits(&mut walk, interface.logits).map_err(wrong)?;
    let (parameters, folded) = (std::mem::take(&mut walk.parameters), walk.folded);
    let mut graph = walk.builder.finish().map_err(|error| wrong(error.to_string()))?;
    if last + 1 != graph.nodes.len() {
        return Err(wrong(format!("its output {:?} is not what it computes last", interface.logits)));
    }
    graph.classes = classes;
    let layers = graph.layers();
    for layer in [layers.first(), layers.last()].into_iter().flatten() {
        graph.nodes[layer.node].fixed = Some(fixed_bits());
    }
    if layers.is_empty() {
        return Err(wrong("it has no layers with weights".to_owned()));
    }
    graph.remarks.extend(folded_remark(&path, folded));
    if interface.softmax {
        graph
            .remarks
            .push(format!("{path} ends with a softmax, which is left out: training and evaluation take logits"));
    }
    Ok(Imported { graph, parameters, softmax: interface.softmax })
}

/// Where the logits are: a value with one pixel, `batch x classes`.
fn logits(walk: &mut Walk, output: &str) -> Result<(NodeId, usize), String> {
    let Some(Value::Map(map)) = walk.value(output) else {
        return Err(format!("its output {output:?} does not depend on the image"));
    };
    let text = map.axes.text();
    let none = || format!("its output {output:?} is {text}, where batch x classes is expected: it is no classifier");
    if !map.axes.0.first().is_some_and(|_| map.axes.is_batch(0)) {
        return Err(none());
    }
    let used: Vec<usize> = (1..map.axes.0.len()).filter(|&axis| !map.axes.0[axis].is_empty()).collect();
    let map = match used[..] {
        [] => map,
        [axis] => {
            let two = Map { node: map.node, axes: map.axes.permuted(&[0, axis]) };
            walk.flat(&two).map_err(|_| none())?.0
        }
        _ => return Err(none()),
    };
    let shape = walk.shape(&map);
    match map.axes.is_whole(map.axes.0.len().min(2) - 1, Role::Channels, shape) || shape.channels == 1 {
        true if shape.channels == shape.elements() => Ok((map.node, shape.channels)),
        _ => Err(none()),
    }
}

fn folded_remark(path: &str, folded: usize) -> Option<String> {
    (folded > 0).then(|| {
        format!(
            "{path} has {folded} convolutions that a batch-norm was folded into when it was exported: it runs, but joint training \
             then has no batch-norms of its own for each bit-width. To keep them, export with torch.onnx.export(net.eval(), x, \
             path, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE)"
        )
    })
}

/// What goes in and what comes out.
struct Interface<'a> {
    input: &'a str,
    /// Sizes of the input, those that are known: four of them.
    sizes: Vec<Option<usize>>,
    /// Whether the input is `batch x height x width x channels`.
    channels_last: bool,
    /// Size of the batch that the file was written for.
    batch: usize,
    /// The output, before a softmax.
    logits: &'a str,
    softmax: bool,
    links: Links<'a>,
}

impl<'a> Interface<'a> {
    fn of(file: &'a OnnxFile, output: Option<&str>) -> Result<Self, OnnxError> {
        let wrong = |why: String| OnnxError::Interface { path: file.path().display().to_string(), why };
        let graph = file.graph();
        let names = || graph.output.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        let output = match (output, graph.output.as_slice()) {
            (Some(name), all) => all
                .iter()
                .find(|output| output.name == name)
                .ok_or_else(|| wrong(format!("it has no output {name:?}; there are: {}", names())))?,
            (None, [only]) => only,
            (None, all) => {
                let why = "a classifier has one; choose the one with the logits by the model's option output";
                return Err(wrong(format!("it has {} outputs ({}), and {why}", all.len(), names())));
            }
        };
        let (logits, softmax) = before_softmax(&graph.node, &output.name);
        let links = Links::to(&graph.node, logits);
        let all = file.inputs();
        let used: Vec<_> = all.into_iter().filter(|input| links.readers.contains_key(input.name.as_str())).collect();
        let [input] = used[..] else {
            let names: Vec<&str> = used.iter().map(|input| input.name.as_str()).collect();
            let why = "a classifier of images has one, the image";
            return Err(wrong(format!("it has {} inputs ({}), and {why}", names.len(), names.join(", "))));
        };
        let sizes = input.sizes().unwrap_or_else(|| vec![None; 4]);
        if sizes.len() != 4 {
            let why = "where images have four: batch, channels, height and width";
            return Err(wrong(format!("its input {:?} has {} axes, {why}", input.name, sizes.len())));
        }
        let batch = sizes[0].unwrap_or(1);
        let channels_last = channels_last(&graph.node, &links, &input.name, &sizes);
        Ok(Self { input: &input.name, sizes, channels_last, batch, logits, softmax, links })
    }
}

/// A tensor, or what a softmax that gives it reads.
fn before_softmax<'a>(nodes: &'a [Node], output: &'a str) -> (&'a str, bool) {
    let (mut tensor, mut softmax) = (output, false);
    // A file ends with few of these; each step goes to an earlier node.
    for _ in 0..8 {
        let giver = nodes.iter().find(|node| node.output.first().is_some_and(|name| name == tensor));
        let Some(giver) = giver.filter(|node| is_onnx(&node.domain)) else { break };
        match (giver.op_type.as_str(), giver.input(0)) {
            ("Softmax" | "LogSoftmax", Some(input)) => (tensor, softmax) = (input, true),
            ("Identity", Some(input)) => tensor = input,
            _ => break,
        }
    }
    (tensor, softmax)
}

/// Whether the images are `height x width x channels`, as TensorFlow has them: whoever reads them moves the channels first, or the
/// sizes say so.
fn channels_last(nodes: &[Node], links: &Links, input: &str, sizes: &[Option<usize>]) -> bool {
    let readers = links.readers.get(input).map(Vec::as_slice).unwrap_or_default();
    let moves = |&index: &usize| {
        let node = &nodes[index];
        node.op_type == "Transpose" && node.ints("perm") == Some(&[0, 3, 1, 2])
    };
    let few = |size: Option<usize>| matches!(size, Some(1 | 3 | 4));
    !readers.is_empty() && readers.iter().all(moves) || few(sizes[3]) && !few(sizes[1]) && sizes[1].is_some()
}
