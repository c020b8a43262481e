//! The forward walk over a file's nodes that describes the network to a [`Builder`]. Every value is a constant, which is folded at
//! once, or a node of the network with what became of its axes.

use super::{
    axes::{Atom, Axes, Role, bare, whole},
    constant::Constant,
    error::Refusal,
    file::{OnnxFile, is_onnx},
    fold::{self, fold},
    names::{Names, Wanted},
    ops,
    proto::Node,
    tensor,
};
use crate::{
    graph::{Builder, NodeId, Shape},
    ops::{ChannelShuffle, Flatten, MergeHeads, Op, Operator},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// A value that depends on the image: what a node of the network gives, and how the axes of the ONNX tensor are made of its axes.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub node: NodeId,
    pub axes: Axes,
}

/// What an ONNX tensor is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Constant),
    Map(Map),
    /// It comes from a node that was refused.
    Lost,
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Self {
        Self::Constant(constant)
    }
}

/// Who reads and who gives the tensors of the nodes that an output depends on.
pub(super) struct Links<'a> {
    pub readers: HashMap<&'a str, Vec<usize>>,
    pub givers: HashMap<&'a str, usize>,
    /// Whether the output depends on a node.
    pub needed: Vec<bool>,
}

impl<'a> Links<'a> {
    /// Of the nodes that a tensor depends on.
    pub fn to(nodes: &'a [Node], output: &'a str) -> Self {
        let mut givers = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            givers.extend(node.output.iter().filter(|name| !name.is_empty()).map(|name| (name.as_str(), index)));
        }
        let mut needed = vec![false; nodes.len()];
        let mut open: Vec<usize> = givers.get(output).copied().into_iter().collect();
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut needed[index], true) {
                continue;
            }
            for name in nodes[index].input.iter().filter(|name| !name.is_empty()) {
                readers.entry(name).or_default().push(index);
                open.extend(givers.get(name.as_str()));
            }
        }
        readers.values_mut().for_each(|indices| indices.sort_unstable());
        Self { readers, givers, needed }
    }
}

/// The walk.
pub(super) struct Walk<'a> {
    pub builder: Builder,
    pub parameters: BTreeMap<String, Constant>,
    pub refusals: Vec<Refusal>,
    pub names: Names<'a>,
    pub batch: usize,
    pub opset: i64,
    /// Number of convolutions that a batch-norm was folded into.
    pub folded: usize,
    nodes: &'a [Node],
    links: &'a Links<'a>,
    output: &'a str,
    initializers: HashMap<&'a str, Constant>,
    values: HashMap<&'a str, Value>,
    absorbed: HashSet<usize>,
    /// Numbers that the product reading a tensor multiplies by in its place.
    factors: HashMap<&'a str, f64>,
    folder: PathBuf,
}

/// Constants that stand in front of an operator's constant input are looked through this deep.
const DEEPEST_LOOK: usize = 6;

impl<'a> Walk<'a> {
    pub fn new(file: &'a OnnxFile, links: &'a Links<'a>, builder: Builder, batch: usize, output: &'a str) -> Self {
        let graph = file.graph();
        let folder = file.path().parent().map(PathBuf::from).unwrap_or_default();
        let shared = Arc::new(file.clone());
        let initializer = |(place, tensor): (usize, &'a super::proto::Tensor)| {
            let (shape, kind) = (tensor::shape(tensor).ok()?, tensor::Kind::of(tensor.data_type).ok()?);
            let (file, folder) = (shared.clone(), folder.clone());
            let read = move || {
                let tensor = &file.graph().initializer[place];
                tensor::array(tensor, &folder).map_err(|why| format!("initializer {:?} {why}", tensor.name))
            };
            Some((tensor.name.as_str(), Constant::later(shape, kind.is_float(), read).ok()?))
        };
        let initializers = graph.initializer.iter().enumerate().filter_map(initializer).collect();
        Self {
            builder,
            parameters: BTreeMap::new(),
            refusals: vec![],
            names: Names::new(&graph.node, &links.readers, &links.givers),
            batch,
            opset: file.opset(),
            folded: 0,
            nodes: &graph.node,
            links,
            output,
            initializers,
            values: HashMap::new(),
            absorbed: HashSet::new(),
            factors: HashMap::new(),
            folder,
        }
    }

    /// Says what a tensor is.
    pub fn set(&mut self, name: &'a str, value: impl Into<Value>) {
        self.values.insert(name, value.into());
    }

    /// What a tensor is, if it is known by now.
    pub fn value(&self, name: &str) -> Option<Value> {
        let initializer = || self.initializers.get(name).cloned().map(Value::Constant);
        self.values.get(name).cloned().or_else(initializer)
    }

    /// Goes over all nodes that the output depends on.
    pub fn run(&mut self) {
        let nodes = self.nodes;
        for (index, node) in nodes.iter().enumerate() {
            if !self.links.needed[index] || self.absorbed.contains(&index) {
                continue;
            }
            let values = match self.outputs(node) {
                Ok(values) => values,
                Err(why) => {
                    self.refuse(node, why);
                    vec![]
                }
            };
            let mut values = values.into_iter();
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                self.values.insert(output, values.next().unwrap_or(Value::Lost));
            }
        }
    }

    fn refuse(&mut self, node: &Node, why: String) {
        let operator = match is_onnx(&node.domain) {
            true => node.op_type.clone(),
            false => format!("{}.{}", node.domain, node.op_type),
        };
        let named =
            if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
        self.refusals.push(Refusal { operator, node: named, why });
    }

    /// What a node gives; nothing if what it reads is lost.
    fn outputs(&mut self, node: &'a Node) -> Result<Vec<Value>, String> {
        let reader = is_onnx(&node.domain).then(|| ops::reader(&node.op_type)).flatten();
        let mut inputs = vec![];
        for name in &node.input {
            inputs.push(match name.as_str() {
                "" => None,
                name => Some(self.value(name).ok_or_else(|| format!("reads {name:?}, which nothing before it gives"))?),
            });
        }
        let constants: Option<Vec<Option<&Constant>>> = inputs
            .iter()
            .map(|input| match input {
                None => Some(None),
                Some(Value::Constant(constant)) => Some(Some(constant)),
                Some(_) => None,
            })
            .collect();
        if let Some(constants) = constants.filter(|_| is_onnx(&node.domain))
            && let Some(folded) = fold(node, &constants, self.opset, &self.folder)
        {
            return Ok(folded?.into_iter().map(Value::Constant).collect());
        }
        let lost = inputs.iter().flatten().any(|input| matches!(input, Value::Lost));
        match reader {
            // What is wrong is said where it began.
            Some(_) if lost => Ok(vec![]),
            None if lost && fold::knows(&node.op_type) => Ok(vec![]),
            Some(reader) => reader(self, node),
            None => Err("limpq has no such operator".to_owned()),
        }
    }

    /// An input that depends on the image.
    pub fn map(&self, node: &Node, place: usize) -> Result<Map, String> {
        match node.input(place).and_then(|name| self.value(name)) {
            Some(Value::Map(map)) => Ok(map),
            Some(_) => Err("computes with a constant where an activation is expected".to_owned()),
            None => Err(format!("has no input {place}")),
        }
    }

    /// An input that is a constant; none if it is left out.
    pub fn constant(&self, node: &Node, place: usize) -> Result<Option<Constant>, String> {
        let Some(name) = node.input(place) else { return Ok(None) };
        match self.constant_of(name, DEEPEST_LOOK) {
            Some(constant) => Ok(Some(constant)),
            None => Err(format!("its input {place} depends on the image, where a constant is expected")),
        }
    }

    /// A tensor that is a constant, also if its node stands further back in the file.
    pub fn constant_of(&self, name: &str, depth: usize) -> Option<Constant> {
        if let Some(value) = self.value(name) {
            return if let Value::Constant(constant) = value { Some(constant) } else { None };
        }
        let giver = &self.nodes[*self.links.givers.get(name)?];
        if depth == 0 || !is_onnx(&giver.domain) || giver.output.len() != 1 {
            return None;
        }
        let read: Vec<&String> = giver.input.iter().collect();
        let inputs: Vec<Option<Constant>> = read
            .into_iter()
            .map(|input| if input.is_empty() { Some(None) } else { self.constant_of(input, depth - 1).map(Some) })
            .collect::<Option<_>>()?;
        let inputs: Vec<Option<&Constant>> = inputs.iter().map(Option::as_ref).collect();
        fold(giver, &inputs, self.opset, &self.folder)?.ok()?.into_iter().next()
    }

    /// The only node that reads a tensor, unless the tensor is the output.
    pub fn only_reader(&self, name: &str) -> Option<usize> {
        match self.links.readers.get(name).map(Vec::as_slice) {
            Some(&[only]) if name != self.output => Some(only),
            _ => None,
        }
    }

    /// A node by its place in the file.
    pub fn node(&self, index: usize) -> &'a Node {
        &self.nodes[index]
    }

    /// All readers of a tensor.
    pub fn readers(&self, name: &str) -> &[usize] {
        self.links.readers.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes a node as part of what another one described; its output is that one's.
    pub fn absorb(&mut self, index: usize, output: Value) {
        self.absorbed.insert(index);
        if let Some(name) = self.nodes[index].output.first() {
            self.values.insert(name, output);
        }
    }

    /// Leaves a factor of a tensor to the product that reads it.
    pub fn keep_factor(&mut self, tensor: &'a str, factor: f64) {
        self.factors.insert(tensor, factor);
    }

    /// What was left to the product that reads a tensor; 1 if nothing was.
    pub fn factor(&self, tensor: &str) -> f64 {
        self.factors.get(tensor).copied().unwrap_or(1.0)
    }

    /// Shape of a node's output.
    pub fn shape(&self, map: &Map) -> Shape {
        self.builder.shape(map.node)
    }

    /// Adds an operator to the network, with its tensors by the last part of their state-dict name.
    ///
    /// # Errors
    /// Inputs that the operator cannot take, tensors that it does not have or that are of another shape.
    pub fn apply(
        &mut self,
        name: &str,
        operator: impl Operator + Serialize + 'static,
        inputs: &[NodeId],
        tensors: Vec<(&str, Constant)>,
    ) -> Result<NodeId, String> {
        let op = Op::new(operator);
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.builder.shape(input)).collect();
        op.output(&shapes).map_err(|error| error.to_string())?;
        for parameter in op.parameters(&shapes) {
            let given = tensors.iter().find(|(suffix, _)| *suffix == parameter.name);
            let (suffix, constant) = given.unwrap_or_else(|| panic!("{} has no {}", op.name(), parameter.name));
            if constant.shape() != parameter.shape {
                return Err(format!("its {suffix} is {:?}, and {:?} is needed", constant.shape(), parameter.shape));
            }
            let full = if suffix.is_empty() { name.to_owned() } else { format!("{name}.{suffix}") };
            self.parameters.insert(full, constant.clone());
        }
        Ok(self.builder.apply_op(name, op, inputs))
    }

    /// An activation function and its like: the axes stay as they are.
    pub fn elementwise(&mut self, map: &Map, operator: impl Operator + Serialize + 'static) -> Result<Value, String> {
        let node = self.apply("", operator, &[map.node], vec![])?;
        Ok(Map { node, axes: map.axes.clone() }.into())
    }

    /// The same value with its channels in order, if they were shuffled or are those of the heads of attention side by side.
    pub fn in_order(&mut self, map: &Map) -> Result<Map, String> {
        let shape = self.shape(map);
        let channels = shape.channels;
        let heads = [whole(Role::Channels, shape), whole(Role::Width, shape)];
        let merged = heads.concat();
        let side_by_side = |axis: &Vec<Atom>| bare(axis) == merged;
        if let Some(axis) =
            map.axes.0.iter().position(side_by_side).filter(|_| heads.iter().all(|atoms| !atoms.is_empty()))
        {
            let node = self.apply("", MergeHeads {}, &[map.node], vec![])?;
            let mut axes = map.axes.clone();
            axes.0[axis] = whole(Role::Channels, self.builder.shape(node));
            return Ok(Map { node, axes });
        }
        let shuffled = map.axes.0.iter().position(|axis| match axis[..] {
            [one, other] => {
                [one.role, other.role] == [Role::Channels; 2]
                    && (one.stride, other.stride) == (1, one.size)
                    && one.size * other.size == channels
            }
            _ => false,
        });
        let Some(axis) = shuffled else { return Ok(map.clone()) };
        let groups = map.axes.0[axis][1].size;
        let node = self.apply("", ChannelShuffle { groups }, &[map.node], vec![])?;
        let mut axes = map.axes.clone();
        axes.0[axis] = whole(Role::Channels, self.builder.shape(node));
        Ok(Map { node, axes })
    }

    /// The node of a value that is `batch x channels x height x width`.
    ///
    /// # Errors
    /// Values whose axes are arranged otherwise.
    pub fn image(&mut self, map: &Map) -> Result<NodeId, String> {
        let map = self.in_order(map)?;
        match map.axes.is_image(self.shape(&map)) {
            true => Ok(map.node),
            false => Err(format!("reads {}, where batch x channels x height x width is expected", map.axes.text())),
        }
    }

    /// A value of one pixel for each sample, `batch x channels`, and for each channel of it the place from which it comes if
    /// `channels x height x width` were laid out in another order; see [`Self::linear_weights`].
    pub fn flat(&mut self, map: &Map) -> Result<(Map, Option<Axes>), String> {
        let map = self.in_order(map)?;
        let shape = self.shape(&map);
        let (axis, others) = match map.axes.0.len() {
            0 | 1 => return Err(format!("reads {}, where batch x channels is expected", map.axes.text())),
            rank => (rank - 1, 1..rank - 1),
        };
        // Tokens and pixels keep their places; channels are last.
        if map.axes.is_whole(axis, Role::Channels, shape) {
            return Ok((map, None));
        }
        let rest = others.clone().all(|axis| map.axes.0[axis].is_empty());
        let parts = &map.axes.0[axis];
        let size: usize = parts.iter().map(|atom| atom.size).product();
        if !rest || !map.axes.is_batch(0) || size != shape.elements() {
            return Err(format!("reads {}, where batch x channels is expected", map.axes.text()));
        }
        let order = Axes(parts.iter().map(|&atom| vec![atom]).collect());
        let node = self.apply("", Flatten {}, &[map.node], vec![])?;
        let mut axes = map.axes.clone();
        axes.0[axis] = whole(Role::Channels, self.builder.shape(node));
        Ok((Map { node, axes }, Some(order)))
    }

    /// What a layer is called.
    pub fn name(&mut self, node: &Node, wanted: Wanted) -> String {
        self.names.of(node, wanted)
    }
}
