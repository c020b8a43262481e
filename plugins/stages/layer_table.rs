//! The found policy as a table for other programs: one row per layer in execution order, the fixed ones included.
//!
//! `layers.csv` has the columns `layer`, `kind`, `input` and `output` (`CxHxW`, one sample), `kernel`, `stride`, `groups`, `weights`,
//! `macs` (multiply-accumulates for one sample), `fixed`, `weight_bits` and `act_bits`. For a product of two activations
//! `weight_bits` are those of its second operand.

use limpq_core::{
    run::{Run, RunError, Stage},
    store::Leaves,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stage.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerTable {}

const NAME: &str = "layer_table";
const FILE: &str = "layers.csv";
const POLICY: &str = "policy.json";
const COLUMNS: [&str; 12] = [
    "layer",
    "kind",
    "input",
    "output",
    "kernel",
    "stride",
    "groups",
    "weights",
    "macs",
    "fixed",
    "weight_bits",
    "act_bits",
];

impl Stage for LayerTable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn does(&self) -> &'static str {
        "writes each layer's shape, costs and found bits as a table"
    }

    fn leaves(&self) -> Leaves {
        let (always, reads) = (vec![FILE.to_owned()], vec![POLICY.to_owned()]);
        Leaves { always, reads, settings: vec!["stages.layer_table"], ..Leaves::default() }
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let graph = &run.setup.graph;
        let mut chosen = run.policy(POLICY)?.precisions(graph)?.into_iter();
        let mut table = csv::Writer::from_writer(vec![]);
        let failed = |error: String| RunError::Stage { stage: NAME, why: error };
        table.write_record(COLUMNS).map_err(|error| failed(error.to_string()))?;
        for layer in graph.layers() {
            let bits = match layer.fixed {
                true => layer.fixed_bits,
                false => chosen.next().expect("a policy has bits for each searchable layer"),
            };
            let sides = |[height, width]: [usize; 2]| format!("{height}x{width}");
            let row = [
                layer.name.clone(),
                layer.kind.to_owned(),
                layer.in_shape.to_string(),
                layer.out_shape.to_string(),
                sides(layer.window.kernel),
                sides(layer.window.stride),
                layer.groups.to_string(),
                layer.weights.to_string(),
                layer.macs.to_string(),
                layer.fixed.to_string(),
                bits.weight.to_string(),
                bits.act.to_string(),
            ];
            table.write_record(row).map_err(|error| failed(error.to_string()))?;
        }
        let bytes = table.into_inner().map_err(|error| failed(error.to_string()))?;
        Ok(run.folder.keep(FILE, key, &bytes)?)
    }
}

limpq_core::plugin!(
    limpq_core::run::Stage,
    "layer_table",
    "The found policy as a table for other programs: shape, costs and bits per layer, in layers.csv",
    LayerTable
);
