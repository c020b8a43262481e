//! What a run needs before its first stage. Every error in a config is found here, not after hours of training.

use super::{
    Config, RunError,
    record::{fingerprint, inputs, program, versions},
};
use crate::{
    graph::{self, Graph, Model},
    search::{
        Budget, Constraints, ConstraintsError, Indicators, Instance, InstanceError, Problem, Rules, Search,
        SearchError, Solver,
    },
    store::Origin,
    train::{Data, Loaded, Progress, Quantizer, start_threads},
};
use burn::tensor::Device;
use std::sync::Arc;

/// A config with everything that it names read and built.
pub struct Setup<'a> {
    /// The config.
    pub config: &'a Config,
    /// The images.
    pub data: Data,
    /// Describes the network.
    pub model: Box<dyn Model>,
    /// The network.
    pub graph: Arc<Graph>,
    /// How tensors are quantized.
    pub quantizer: Arc<dyn Quantizer>,
    /// The budgets with their cost models.
    pub budgets: Vec<Budget>,
    /// The rules on single layers.
    pub rules: Rules,
    /// Solver of the integer program.
    pub solver: Box<dyn Solver>,
    /// The weights that the config gives, if any.
    pub weights: Option<Loaded>,
    /// Where tensors live; at least one.
    pub devices: Vec<Device>,
    /// Hash of the inputs of every stage.
    pub(super) basis: String,
    /// Hash of the program.
    program: String,
    /// Hash of the images.
    images: String,
}

impl<'a> Setup<'a> {
    /// Reads and builds everything. Remarks that affect how results should be read go to `progress`.
    ///
    /// # Errors
    /// Unreadable data; a network that does not fit it; budgets and rules that no policy satisfies; weights that do not
    /// fit; a device that does not work.
    pub fn new(config: &'a Config, progress: &dyn Progress) -> Result<Self, RunError> {
        start_threads()?;
        let data = config.data()?;
        data.remarks.iter().for_each(|remark| progress.remark(remark));
        let (name, options) = (&config.model.name, &config.model.options);
        let model = graph::model(name, options)?;
        let graph = graph::described(name, options, data.shape, data.classes)?;
        graph.remarks.iter().for_each(|remark| progress.remark(remark));
        let quantizer: Arc<dyn Quantizer> = config.quantizer.build::<dyn Quantizer>()?.into();
        let budgets = config.budgets()?;
        let solver = config.solver.build::<dyn Solver>()?;
        let rules = config.search.rules().map_err(|(_, error)| constraints_error(error))?;
        config.constraints(&graph, &budgets, &rules).preflight(solver.as_ref())?;
        let weights = config.weights.as_ref().map(|weights| weights.load(&graph, config.seed)).transpose()?;
        if let Some(remark) = model.weights_remark().filter(|_| weights.is_some()) {
            progress.remark(&remark);
        }
        let devices = config.device.open(config.mixed_precision())?;
        config.device.remark().iter().for_each(|remark| progress.remark(remark));
        let program = program().map_err(RunError::Program)?;
        let images = fingerprint(&data)?;
        let basis = inputs(&[&program, &config.seed, &config.device, &config.dataset, &config.model, &images]);
        let graph = Arc::new(graph);
        Ok(Self {
            config,
            data,
            model,
            graph,
            quantizer,
            budgets,
            rules,
            solver,
            weights,
            devices,
            basis,
            program,
            images,
        })
    }

    /// The constraints on a policy.
    pub fn constraints(&self) -> Constraints<'_> {
        self.config.constraints(&self.graph, &self.budgets, &self.rules)
    }

    /// The search with these indicators.
    pub(super) fn search<'s>(&'s self, indicators: &'s Indicators) -> Search<'s> {
        let search = &self.config.search;
        Search { constraints: self.constraints(), indicators, alpha: search.alpha, rising: search.rising() }
    }

    /// What the results are made from.
    pub(super) fn origin(&self) -> Result<Origin, RunError> {
        let versions = versions(&self.program, &self.images, &self.costs()?, self.config, self.weights.as_ref());
        Ok(Origin { config: self.config.to_toml(), versions })
    }

    /// The integer program without indicators: its limits and costs.
    fn costs(&self) -> Result<Problem, RunError> {
        Ok(Instance::new(&self.constraints(), |_, _| Some(0.0)).map_err(SearchError::Instance)?.problem)
    }
}

fn constraints_error(error: impl Into<ConstraintsError>) -> RunError {
    SearchError::Instance(InstanceError::Constraints(error.into())).into()
}
