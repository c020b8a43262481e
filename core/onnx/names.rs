//! What layers are called: as in the state dict wherever the file tells, else by operator and number.
//!
//! PyTorch's two exporters keep the names in different places: in initializers (`conv1.weight`), which the dynamo exporter keeps and
//! the legacy one keeps unless it folds a batch-norm; in the metadata of nodes (dynamo); in the path that is a node's name (legacy).

use super::proto::Node;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where a parameter is among the inputs of a node, and how the state dict calls it.
pub(super) type Wanted<'a> = &'a [(usize, &'a str)];

/// What is known of the names in a file.
pub(super) struct Names<'a> {
    nodes: &'a [Node],
    /// The nodes that read a tensor.
    readers: &'a HashMap<&'a str, Vec<usize>>,
    /// The node that gives a tensor.
    givers: &'a HashMap<&'a str, usize>,
    taken: HashSet<String>,
    counts: BTreeMap<String, usize>,
}

impl<'a> Names<'a> {
    pub fn new(
        nodes: &'a [Node],
        readers: &'a HashMap<&'a str, Vec<usize>>,
        givers: &'a HashMap<&'a str, usize>,
    ) -> Self {
        Self { nodes, readers, givers, taken: HashSet::new(), counts: BTreeMap::new() }
    }

    /// The name of a layer, which no other has.
    pub fn of(&mut self, node: &Node, wanted: Wanted) -> String {
        let candidates = [self.by_parameter(node, wanted), by_scope(node), by_path(node)];
        if let Some(name) = candidates.into_iter().flatten().find(|name| self.is_free(name)) {
            self.taken.insert(name.clone());
            return name;
        }
        let kind = node.op_type.to_lowercase();
        loop {
            let count = self.counts.entry(kind.clone()).or_default();
            *count += 1;
            let name = format!("{kind}_{count}");
            if self.is_free(&name) {
                self.taken.insert(name.clone());
                return name;
            }
        }
    }

    /// The name of an operator without a module of its own, such as a product with a constant.
    pub fn of_tensor(&mut self, node: &Node, tensor: &str) -> String {
        let plain =
            !tensor.is_empty() && !is_number(tensor) && self.is_free(tensor) && self.layers_reading(tensor) == 1;
        if plain {
            self.taken.insert(tensor.to_owned());
            return tensor.to_owned();
        }
        self.of(node, &[])
    }

    /// The name of a learned tensor that an operator of its own holds, or `else_named` if the file has none.
    pub fn of_learned(&mut self, node: &Node, tensor: &str, else_named: &str) -> String {
        // What is repeated for each sample stands behind the operator that repeats it.
        let giver = self.givers.get(tensor).map(|&index| &self.nodes[index]);
        let repeated = giver.filter(|giver| giver.op_type == "Expand").and_then(|giver| giver.input(0));
        let tensor = repeated.unwrap_or(tensor);
        let named = !is_number(tensor) && !tensor.starts_with("expand");
        let name = if named { tensor } else { else_named };
        match self.is_free(name) {
            true => {
                self.taken.insert(name.to_owned());
                name.to_owned()
            }
            false => self.of(node, &[]),
        }
    }

    /// The name of a product in a module: the module's, and what the product is of.
    pub fn product(&mut self, node: &Node, what: &str) -> String {
        let modules = [by_scope(node), by_path(node)].into_iter().flatten();
        let name = modules.map(|module| format!("{module}.{what}")).find(|name| self.is_free(name));
        match name {
            Some(name) => {
                self.taken.insert(name.clone());
                name
            }
            None => self.of(node, &[]),
        }
    }

    fn is_free(&self, name: &str) -> bool {
        !name.is_empty() && !self.taken.contains(name)
    }

    /// By a parameter that only this layer reads, or what it is a copy or transposition of.
    fn by_parameter(&self, node: &Node, wanted: Wanted) -> Option<String> {
        wanted.iter().find_map(|&(place, suffix)| {
            let own = node.input(place)?;
            if let Some(stem) = stem(own, suffix).filter(|_| self.layers_reading(own) == 1) {
                return Some(stem.to_owned());
            }
            let mut tensor = own;
            // PyTorch writes no longer chains than two.
            for _ in 0..4 {
                let giver = self.nodes.get(*self.givers.get(tensor)?)?;
                if !is_copy(giver) {
                    return None;
                }
                tensor = giver.input(0)?;
                if self.readers.get(tensor).map_or(0, Vec::len) != 1 {
                    return None;
                }
                if let Some(stem) = stem(tensor, suffix) {
                    return Some(stem.to_owned());
                }
            }
            None
        })
    }

    /// Number of nodes that compute with a tensor itself; equal tensors are stored once, and others copy them.
    fn layers_reading(&self, tensor: &str) -> usize {
        let readers = self.readers.get(tensor).map(Vec::as_slice).unwrap_or_default();
        readers.iter().filter(|&&reader| self.nodes[reader].op_type != "Identity").count()
    }
}

fn is_copy(node: &Node) -> bool {
    matches!(node.op_type.as_str(), "Identity" | "Transpose" | "Reshape" | "Cast" | "Unsqueeze")
}

/// What exporters call a tensor that has no name: `onnx::Conv_193`, `val_12`, `438`.
fn is_number(tensor: &str) -> bool {
    let tail = tensor.rsplit(['_', ':', '.', '/']).next().unwrap_or(tensor);
    tensor.starts_with("onnx::")
        || tensor.starts_with('/')
        || !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_digit())
}

fn stem<'n>(tensor: &'n str, suffix: &str) -> Option<&'n str> {
    tensor.strip_suffix(suffix)?.strip_suffix('.').filter(|stem| !stem.is_empty())
}

/// By the modules that the dynamo exporter notes: `['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']`. It notes the batch-norm
/// for a convolution that one was folded into.
fn by_scope(node: &Node) -> Option<String> {
    let noted = |key: &str| {
        let entry = node.metadata_props.iter().find(|entry| entry.key == key)?;
        Some(entry.value.split('\'').skip(1).step_by(2).collect::<Vec<_>>())
    };
    let is_norm = |class: &&str| class.contains("BatchNorm");
    let classes = noted("pkg.torch.onnx.class_hierarchy").unwrap_or_default();
    if node.op_type != "BatchNormalization" && classes.iter().any(is_norm) {
        return None;
    }
    let scopes = noted("pkg.torch.onnx.name_scopes")?;
    let (_, modules) = scopes.split_last()?;
    modules.iter().rev().find(|module| !module.is_empty()).map(|&module| module.to_owned())
}

/// By the path that is a node's name: `/layer2/layer2.0/downsample/downsample.0/Conv`. A part that begins with the one before it
/// and a dot takes its place.
fn by_path(node: &Node) -> Option<String> {
    let parts: Vec<&str> = node.name.strip_prefix('/')?.split('/').collect();
    let (mut name, mut previous) = (String::new(), "");
    for &part in &parts[..parts.len() - 1] {
        if !previous.is_empty() && part.strip_prefix(previous).is_some_and(|rest| rest.starts_with('.')) {
            name.truncate(name.len() - previous.len());
        } else if !name.is_empty() {
            name.push('.');
        }
        name.push_str(part);
        previous = part;
    }
    (!name.is_empty()).then_some(name)
}

/// Whether PyTorch's exporters named a convolution so because they folded a batch-norm into it.
pub(super) fn folded_batch_norm(node: &Node) -> bool {
    let input = |place: usize| node.input(place).unwrap_or_default();
    node.op_type == "Conv"
        && (input(1).starts_with("onnx::Conv_") && node.input(2).is_some()
            || input(2).ends_with(".weight_bias")
            || input(1).ends_with("_weights_fused_bn"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::Entry;

    fn named(name: &str) -> Node {
        Node { name: name.to_owned(), op_type: "Conv".to_owned(), ..Node::default() }
    }

    #[test]
    fn paths_of_the_legacy_exporter() {
        for (path, name) in [
            ("/conv1/Conv", Some("conv1")),
            ("/layer2/layer2.0/downsample/downsample.0/Conv", Some("layer2.0.downsample.0")),
            ("/features/features.1/conv/conv.0/conv.0.0/Conv", Some("features.1.conv.0.0")),
            ("/features/denseblock1/denselayer1/conv2/Conv", Some("features.denseblock1.denselayer1.conv2")),
            ("/Conv", None),
            ("Conv_12", None),
        ] {
            assert_eq!(by_path(&named(path)).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn metadata_of_the_dynamo_exporter() {
        let noted = |scopes: &str, classes: &str| {
            let entry =
                |key: &str, value: &str| Entry { key: format!("pkg.torch.onnx.{key}"), value: value.to_owned() };
            let metadata_props = vec![entry("name_scopes", scopes), entry("class_hierarchy", classes)];
            by_scope(&Node { metadata_props, ..named("node_conv2d_1") })
        };
        let conv = "['torchvision.models.resnet.ResNet', 'torch.nn.modules.conv.Conv2d', 'aten.conv2d.default']";
        assert_eq!(noted("['', 'layer1.0.conv1', 'conv2d']", conv).as_deref(), Some("layer1.0.conv1"));
        assert_eq!(noted("['', 'conv2d']", conv), None);
        assert_eq!(noted("['', 'bn1', 'x']", "['torch.nn.modules.batchnorm.BatchNorm2d', 'aten']"), None);
    }

    #[test]
    fn nobody_gets_a_name_twice() {
        let (readers, givers) = (HashMap::new(), HashMap::new());
        let mut names = Names::new(&[], &readers, &givers);
        let all: Vec<String> = ["/a/Conv", "/a/Conv", "", ""].map(|path| names.of(&named(path), &[])).into();
        assert_eq!(all, ["a", "conv_1", "conv_2", "conv_3"]);
    }
}
