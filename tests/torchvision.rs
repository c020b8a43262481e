//! The ResNets against torchvision's: every tensor of the state dict, every layer's output and multiply-accumulates.
//! `tests/golden/torchvision_shapes.py` made the file.

use limpq_core::{graph::Model, registry, train::State};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    models: BTreeMap<String, Reference>,
}

#[derive(Deserialize)]
struct Reference {
    state_dict: Vec<(String, Vec<usize>)>,
    layers: Vec<(String, Vec<usize>, u64)>,
}

#[test]
fn resnets_have_torchvision_s_names_shapes_and_counts() {
    let golden: Golden = serde_json::from_str(include_str!("golden/torchvision_shapes.json")).unwrap();
    assert_eq!(golden.models.len(), 3);
    for (name, reference) in golden.models {
        let model = registry::build::<dyn Model>(&name, &toml::Table::new()).unwrap();
        let graph = model.graph("3x224x224".parse().unwrap(), 1000).unwrap();
        let found: BTreeMap<String, Vec<usize>> =
            State::random(&graph, 0).0.into_iter().map(|(name, array)| (name, array.shape)).collect();
        assert_eq!(found, reference.state_dict.into_iter().collect(), "{name}");
        let layers: Vec<_> = graph
            .layers()
            .into_iter()
            .map(|layer| {
                let shape = layer.out_shape;
                let mut output = vec![1, shape.channels];
                if layer.kind == "conv" {
                    output.extend([shape.height, shape.width]);
                }
                (layer.name, output, layer.macs)
            })
            .collect();
        assert_eq!(layers, reference.layers, "{name}: in the order of named_modules");
    }
}
