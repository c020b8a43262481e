//! Experiment configs: every setting of a run. `read.rs` reads them.

use super::CheckpointOptions;
use crate::{
    device::Devices,
    graph::{FIXED_BITS, Graph},
    registry::{self, Kind, RegistryError},
    search::{
        Accounting, Budget, BudgetText, Candidates, Constraints, DEFAULT_ALPHA, RisingIndicators, Rule, RuleError,
        Rules, Share,
    },
    train::{Arithmetic, Data, Recipe, Split, Weights},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plugin by name, with its own options next to the name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a table with the plugin's name, such as { name = \"cbc\" }")]
pub struct Plugin {
    /// Its registered name.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: toml::Table,
}

impl Plugin {
    /// Makes the plugin.
    ///
    /// # Errors
    /// Unknown names and wrong options.
    pub fn build<P: ?Sized + Kind>(&self) -> Result<Box<P>, RegistryError> {
        registry::build::<P>(&self.name, &self.options)
    }
}

/// How the search is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchOptions {
    /// Weight of the weights' indicators relative to the activations'; with 0, weights do not count. If not given, the
    /// sensitivity's own: 2 for learned step sizes, 1 for measured harm.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// How costs are counted: "exact" or "limpq".
    #[serde(default)]
    pub accounting: Accounting,
    /// Whether a bit-width may be chosen whose indicator is below that of the next higher one: "allow" or "forbid". If
    /// not given: "forbid" with accounting "limpq", as LIMPQ's code does, else "allow".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rising_indicators: Option<RisingIndicators>,
    /// Limits by cost model: bitops = "w3a3", size = "10x", average_weight_bits = 3.
    pub budgets: BTreeMap<String, Limit>,
    /// Bits that layers may have, by glob: "layer1.0.conv1" = "w8a8", "layer4.*" = "w4,3,2".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, String>,
    /// Layers that share bits: a glob, "@residual", "@concat", "@depthwise" or "@inputs"; with the prefix "weights:" or
    /// "acts:", only those bits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<String>,
}

fn default_alpha() -> f64 {
    DEFAULT_ALPHA
}

fn default_image_bits() -> u8 {
    FIXED_BITS
}

/// A limit as written; a bare number needs no quotes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a limit such as \"w3a3\", \"10x\", \"8MiB\" or 3")]
pub enum Limit {
    /// `"w3a3"`, `"10x"`, `"8MiB"`.
    Text(String),
    /// `3`
    Whole(i64),
    /// `3.5`
    Number(f64),
}

impl SearchOptions {
    /// The rule on rising indicators: the given one, or the default of the accounting.
    pub fn rising(&self) -> RisingIndicators {
        self.rising_indicators.unwrap_or(RisingIndicators::with(self.accounting))
    }

    /// The budgets as the search reads them, sorted by name.
    pub fn budgets(&self) -> Vec<BudgetText> {
        let text = |limit: &Limit| match limit {
            Limit::Text(text) => text.clone(),
            Limit::Whole(number) => number.to_string(),
            Limit::Number(number) => number.to_string(),
        };
        self.budgets.iter().map(|(name, limit)| BudgetText { name: name.clone(), limit: text(limit) }).collect()
    }

    /// The rules on single layers and the shares.
    ///
    /// # Errors
    /// The key of the first entry that cannot be read, and why.
    pub fn rules(&self) -> Result<Rules, (String, RuleError)> {
        let rule = |(layers, bits): (&String, &String)| {
            format!("{layers}={bits}").parse::<Rule>().map_err(|error| (format!("search.layers.{layers}"), error))
        };
        let share = |text: &String| text.parse::<Share>().map_err(|error| ("search.share".to_owned(), error));
        Ok(Rules {
            rules: self.layers.iter().map(rule).collect::<Result<_, _>>()?,
            shares: self.share.iter().map(share).collect::<Result<_, _>>()?,
        })
    }
}

/// A whole experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the experiment is called.
    pub name: String,
    /// Seed of initialisation, data order and sampling.
    #[serde(default)]
    pub seed: u64,
    /// Where tensors live: "flex", "libtorch", "libtorch:cuda:0" or "cuda:0"; with a list, each batch is divided among
    /// the devices.
    #[serde(default)]
    pub device: Devices,
    /// Candidate bit-widths.
    pub bits: Candidates,
    /// The images.
    pub dataset: Plugin,
    /// Which of its training images are trained on, and which are held out.
    #[serde(default)]
    pub split: Split,
    /// The network.
    pub model: Plugin,
    /// How tensors are quantized.
    pub quantizer: Plugin,
    /// What the search minimises.
    pub sensitivity: Plugin,
    /// Solver of the integer program.
    pub solver: Plugin,
    /// Weights that initialise the full-precision network; random initialisation if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// How the full-precision network is trained. If weights are given, the default is 0 epochs.
    #[serde(default)]
    pub pretrain: Recipe,
    /// How the indicators are trained.
    #[serde(default)]
    pub indicators: Recipe,
    /// Budgets and how they are counted.
    pub search: SearchOptions,
    /// Whether the found policy is refined by measurement before it is fine-tuned.
    #[serde(default)]
    pub refine: Refine,
    /// How the quantized network is fine-tuned.
    #[serde(default)]
    pub finetune: Recipe,
    /// Bits of the images at the input of a fine-tuned network's first layer: 8, like its weights, or 32, not quantized
    /// (LIMPQ's code). Costs count 8 in either case, as LIMPQ's search does.
    #[serde(default = "default_image_bits")]
    pub image_bits: u8,
    /// How networks are evaluated.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// When checkpoints are saved.
    #[serde(default)]
    pub checkpoints: CheckpointOptions,
    /// Further stages that run after the built-in ones, each with its options: `[stages.layer_table]`. `limpq list stage` lists
    /// them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, toml::Table>,
    /// Options of the cost models behind budgets, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost: BTreeMap<String, toml::Table>,
}

/// Refinement by measurement: bits are swapped while the loss measured on training images falls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Refine {
    /// How often the loss may be measured; 0 turns refinement off.
    pub evaluations: usize,
    /// Number of training images that it is measured on.
    pub images: usize,
}

/// Evaluation of the trained networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Number of training images on which batch-norm statistics are re-estimated before a network is evaluated (LIMPQ
    /// uses 6000); 0 keeps the statistics of training.
    pub batch_norm_images: usize,
}

impl Default for Refine {
    fn default() -> Self {
        Self { evaluations: 0, images: 1024 }
    }
}

impl Config {
    /// The first section whose recipe asks for mixed precision.
    pub fn mixed_precision(&self) -> Option<&'static str> {
        self.recipes().into_iter().find(|(_, recipe)| recipe.arithmetic == Arithmetic::BFloat16).map(|(name, _)| name)
    }

    pub(super) fn recipes(&self) -> [(&'static str, &Recipe); 3] {
        [("pretrain", &self.pretrain), ("indicators", &self.indicators), ("finetune", &self.finetune)]
    }

    /// Whether the images that a fine-tuned network reads are not quantized.
    pub(super) fn plain_images(&self) -> bool {
        self.image_bits == 32
    }

    /// The images, split as the config asks.
    ///
    /// # Errors
    /// Missing, truncated or foreign files, by name; a class without training images.
    pub fn data(&self) -> Result<Data, super::RunError> {
        let mut data = self.dataset.build::<dyn crate::train::Dataset>()?.load()?;
        data.remarks.extend(data.empty_classes());
        Ok(self.split.divide(data, self.seed)?)
    }

    /// The budgets with their cost models, made from the options in `cost`.
    ///
    /// # Errors
    /// Unknown names and wrong options.
    pub fn budgets(&self) -> Result<Vec<Budget>, RegistryError> {
        let none = toml::Table::new();
        let options = |text: &BudgetText| self.cost.get(&text.name).unwrap_or(&none);
        self.search.budgets().into_iter().map(|text| Budget::new(text.clone(), options(&text))).collect()
    }

    /// The constraints on a policy of this config.
    pub fn constraints<'a>(&'a self, graph: &'a Graph, budgets: &'a [Budget], rules: &'a Rules) -> Constraints<'a> {
        Constraints { graph, candidates: &self.bits, accounting: self.search.accounting, budgets, rules }
    }

    /// As TOML, every default included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a config is plain data")
    }
}
