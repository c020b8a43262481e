//! Files of LIMPQ's MobileNet, whose layers have other names there.

use crate::fixtures::{limpq, write, write_json};
use limpq_core::{
    graph::{Graph, Model},
    registry,
    search::{BitWidth, Candidates, INDICATORS_SCHEMA, Indicators, LayerIndicators, Policy, Provenance},
};

fn mobilenet() -> Graph {
    registry::build::<dyn Model>("mobilenet_v1", &toml::Table::new())
        .unwrap()
        .graph("3x224x224".parse().unwrap(), 1000)
        .unwrap()
}

/// LIMPQ's name of a layer, as its module tree has it.
fn limpq_s(name: &str) -> String {
    let [_, stage, unit, conv] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let one_up = |number: &str| number.parse::<usize>().unwrap() + 1;
    let (stage, unit) = (one_up(stage), one_up(unit));
    format!("module.features.stage{stage}.unit{unit}.{}_conv.conv", conv.strip_prefix("conv_").unwrap())
}

/// Made-up indicators, by the names that `named` gives.
fn indicators(named: &dyn Fn(&str) -> String) -> Indicators {
    let layers = mobilenet().searchable().into_iter().enumerate().map(|(place, layer)| {
        let values = |scale: f64| {
            let value = |bits: u64| scale * (1.0 + (place % 7) as f64) * 1.7f64.powi(-(bits as i32));
            [4, 3, 2].map(|bits| (BitWidth::new(bits).unwrap(), value(bits))).into()
        };
        (named(&layer.name), LayerIndicators { weight: values(0.1), act: values(0.3) })
    });
    Indicators {
        schema: INDICATORS_SCHEMA,
        model: None,
        candidates: Candidates::of(&[4, 3, 2]).unwrap(),
        provenance: Provenance { sensitivity: "made up for tests".into(), ..Provenance::default() },
        layers: layers.collect(),
        spread: None,
    }
}

#[test]
fn indicators_under_limpq_s_names_find_the_same_policy() {
    let found = |indicators: &Indicators| {
        let folder = tempfile::tempdir().unwrap();
        let file = write_json(folder.path(), indicators);
        let search = ["search", "--model", "mobilenet_v1", "--budget", "bitops=w3a3", "--indicators"];
        let out = folder.path().join("policy.csv");
        limpq().args(search).arg(&file).arg("--out").arg(&out).assert().success();
        std::fs::read_to_string(out).unwrap()
    };
    let own = found(&indicators(&str::to_owned));
    assert!(own.contains("blocks.0.0.conv_dw,"), "{own}");
    assert_eq!(found(&indicators(&limpq_s)), own);
}

#[test]
fn policies_under_limpq_s_names_are_read() {
    let graph = mobilenet();
    let folder = tempfile::tempdir().unwrap();
    let uniform = Policy::uniform(&graph, "w3a4".parse().unwrap());
    let mut csv = String::from("layer,weight_bits,act_bits\n");
    uniform.policy.iter().for_each(|bits| csv += &format!("{},3,4\n", limpq_s(&bits.layer)));
    let path = write(folder.path(), "limpq.csv", csv.as_bytes());
    assert_eq!(Policy::read(&path, Some(&graph)).unwrap(), uniform);
    csv += "blocks.0.0.conv_dw,3,4\n";
    let path = write(folder.path(), "twice.csv", csv.as_bytes());
    let error = Policy::read(&path, Some(&graph)).unwrap_err().to_string();
    assert!(error.contains("\"blocks.0.0.conv_dw\" is there twice"), "{error}");
}

#[test]
fn a_layer_under_both_names_is_refused() {
    let mut both = indicators(&str::to_owned);
    let (name, layer) = both.layers.first_key_value().map(|(name, layer)| (limpq_s(name), layer.clone())).unwrap();
    both.layers.insert(name.strip_prefix("module.").unwrap().to_owned(), layer);
    let error = both.in_names_of(&mobilenet()).unwrap_err().to_string();
    assert!(error.contains("\"blocks.0.0.conv_dw\" is there twice"), "{error}");
}
