//! One search: indicators and constraints become a [`Problem`](crate::search::Problem); a solver's answer becomes a policy with its
//! proof.

use crate::search::analysis::Refusal;
use crate::search::{
    Accounting, Allowed, BitWidth, Candidates, Constraints, Indicators, IndicatorsError, Infeasible, Instance,
    InstanceError, Named, Policy, Precision, Proof, RisingIndicators, Room, Solved, Solver, SolverError, Status, solve,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Alpha where nothing says another one: that of LIMPQ's published search, for learned step sizes.
pub const DEFAULT_ALPHA: f64 = 2.0;

/// Everything that a search depends on.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// What must be kept.
    pub constraints: Constraints<'a>,
    /// How sensitive the layers are.
    pub indicators: &'a Indicators,
    /// Weight of the weights' indicators against the activations'; the most influential setting. With 0, weights do not count.
    pub alpha: f64,
    /// Whether bit-widths may be chosen whose indicator is below that of the next higher one.
    pub rising: RisingIndicators,
}

/// How much of a budget a policy uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetUse {
    /// Name of the budget.
    pub name: String,
    /// The limit as written.
    pub asked: String,
    /// The upper end, in `unit`; `None` when the budget has only a lower one.
    pub limit: Option<f64>,
    /// The lower end, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// What the policy uses, in `unit`.
    pub used: f64,
    /// The same for the network at 32 bits; `None` when the cost model does not know it.
    pub at_32_bits: Option<f64>,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether it stands in the way of lowering the objective by changing one layer.
    pub binding: bool,
    /// By how much the objective would fall if the upper end were one percent higher: its shadow price, found by solving
    /// again. `None` when it was not asked for or when not both answers are proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain_of_one_percent: Option<f64>,
}

/// A found policy with everything needed to judge it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The bits, in graph order.
    #[serde(flatten)]
    pub policy: Policy,
    /// Sum of activation indicators plus alpha times sum of weight indicators.
    pub objective: f64,
    /// How far the answer can be trusted.
    pub proof: Proof,
    /// Use of each budget.
    pub budgets: Vec<BudgetUse>,
    /// How costs were counted.
    pub accounting: Accounting,
    /// Name of the solver.
    pub solver: String,
    /// Weight of the weights' indicators.
    pub alpha: f64,
    /// Whether bit-widths could be chosen whose indicator is below that of the next higher one.
    pub rising_indicators: RisingIndicators,
    /// The candidates it chose from.
    pub candidates: Candidates,
    /// What looks wrong with the indicators, and whatever else makes the answer doubtful.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The rules on single layers, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The shares, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<String>,
}

/// A uniform policy, for comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Uniform {
    /// The bits of every searchable layer.
    pub bits: Precision,
    /// Its objective.
    pub objective: f64,
    /// Use of each budget, in the budget's printed unit; `None` where the cost model does not know it.
    pub used: Vec<Option<f64>>,
    /// Whether it keeps every budget.
    pub fits: bool,
    /// Number of layers in which the search itself may not choose these bits, because of a rule or of rising
    /// indicators.
    pub closed: usize,
}

/// Why a search gave no policy.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The indicators do not fit.
    #[error(transparent)]
    Indicators(#[from] IndicatorsError),
    /// The problem cannot be stated.
    #[error(transparent)]
    Instance(InstanceError),
    /// Alpha is not a number, or negative.
    #[error("alpha must be 0 or a positive number, got {0}")]
    Alpha(f64),
    /// Sums of indicators are beyond what a float holds.
    #[error(
        "the indicators are too large to be added up with alpha {alpha:?}: layer {layer:?} has {value:?} for its {tensor}. Lower \
         alpha, or find out why the indicators are so large"
    )]
    Overflow {
        /// The layer with the largest term.
        layer: String,
        /// `weights` or `activations`.
        tensor: &'static str,
        /// Its indicator.
        value: f64,
        /// The weight of weights.
        alpha: f64,
    },
    /// The rule on rising indicators leaves a layer without options.
    #[error(
        "layer {layer:?} has no bit-width left: the indicator of each is below that of the next higher one, and \
         rising_indicators = \"forbid\" leaves such bit-widths out. Allow them, or pin the layer's bits"
    )]
    NoChoice {
        /// The layer.
        layer: String,
    },
    /// No policy keeps every budget.
    #[error("{0}")]
    Infeasible(Box<Infeasible>),
    /// The solver gave up or failed.
    #[error(transparent)]
    Solver(SolverError),
}

impl Constraints<'_> {
    /// Whether the constraints can be stated and some policy keeps them: what can be said before there are indicators. A
    /// solver that cannot tell in time refuses nothing.
    ///
    /// # Errors
    /// Constraints that cannot be stated, or that no policy keeps.
    pub fn preflight(&self, solver: &dyn Solver) -> Result<(), SearchError> {
        let instance = Instance::new(self, |_, _| Some(0.0)).map_err(SearchError::Instance)?;
        let problem = &instance.problem;
        let solver = Named::new("", solver);
        if problem.each_row_fits() && !matches!(solve(solver, problem, None), Err(SolverError::Infeasible)) {
            return Ok(());
        }
        let refusal = Refusal { constraints: *self, open: &|_, _| true, solver };
        Err(SearchError::Infeasible(Box::new(refusal.explained(&instance))))
    }
}

impl Search<'_> {
    /// The integer program and what its parts stand for.
    ///
    /// # Errors
    /// Indicators that do not fit, constraints that cannot be stated.
    pub fn instance(&self) -> Result<Instance, SearchError> {
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(SearchError::Alpha(self.alpha));
        }
        let Constraints { graph, candidates, rules, .. } = self.constraints;
        let wrong = |error: crate::search::RuleError| SearchError::Instance(InstanceError::Constraints(error.into()));
        let allowed = rules.allowed(graph, candidates).map_err(wrong)?;
        self.indicators.check(graph, &allowed)?;
        self.adds_up()?;
        let loss = |layer: usize, bits| self.loss(&allowed[layer], bits);
        Instance::new(&self.constraints, loss).map_err(|error| match error {
            InstanceError::NoChoice(layer) => SearchError::NoChoice { layer },
            other => SearchError::Instance(other),
        })
    }

    /// That every sum of these indicators, one for each tensor, is a finite number: of any policy, with alpha and without.
    fn adds_up(&self) -> Result<(), SearchError> {
        let usable =
            |values: &BTreeMap<BitWidth, f64>| values.values().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let largest = |(layer, of): (&String, &crate::search::LayerIndicators)| {
            let [weight, act] = [usable(&of.weight), usable(&of.act)];
            let tensor = if self.alpha * weight > act { ("weights", weight) } else { ("activations", act) };
            (layer.clone(), weight, act, tensor)
        };
        let terms: Vec<_> = self.indicators.layers.iter().map(largest).collect();
        let [weight, act] = terms.iter().fold([0.0, 0.0], |[w, a], (_, weight, act, _)| [w + weight, a + act]);
        if (act + self.alpha * weight).is_finite() && weight.is_finite() {
            return Ok(());
        }
        let size = |(_, weight, act, _): &(String, f64, f64, (&str, f64))| (self.alpha * weight).max(*weight).max(*act);
        let worst = terms.into_iter().max_by(|a, b| size(a).total_cmp(&size(b)));
        let (layer, _, _, (tensor, value)) = worst.expect("what overflows has terms");
        Err(SearchError::Overflow { layer, tensor, value, alpha: self.alpha })
    }

    /// What a layer at these bits adds to the objective; `None` where the rule on rising indicators forbids them.
    fn loss(&self, rule: &Allowed, bits: Precision) -> Option<f64> {
        let of = &self.indicators.layers[&rule.layer];
        let open = |values: &BTreeMap<_, f64>, bits, pinned: bool| match values.get(&bits) {
            // A layer held at bits that have no indicator adds the same to every policy: nothing.
            None => Some(0.0),
            Some(_) if !pinned && self.rising.forbids(values, bits) => None,
            Some(&value) => Some(value),
        };
        let act = open(&of.act, bits.act, rule.act_pinned)?;
        Some(act + self.alpha * open(&of.weight, bits.weight, rule.weight_pinned)?)
    }

    /// Finds the best policy.
    ///
    /// # Errors
    /// As [`Self::instance`]; budgets that cannot be kept; a solver that fails.
    pub fn run(&self, solver: Named) -> Result<Found, SearchError> {
        let instance = self.instance()?;
        let solved = self.solve(&instance, solver, None)?;
        Ok(self.found(&instance, &solved, solver.name))
    }

    /// Solves an instance of this search; one that has no policy is explained.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn solve(&self, instance: &Instance, solver: Named, near: Option<&[usize]>) -> Result<Solved, SearchError> {
        let problem = &instance.problem;
        let explain = || {
            let open = |layer: &Allowed, bits: Precision| self.loss(layer, bits).is_some();
            let refusal = Refusal { constraints: self.constraints, open: &open, solver };
            SearchError::Infeasible(Box::new(refusal.explained(instance)))
        };
        if !problem.each_row_fits() {
            return Err(explain());
        }
        solve(solver, problem, near).map_err(|error| match error {
            SolverError::Infeasible => explain(),
            other => SearchError::Solver(other),
        })
    }

    /// Sums of the weights' and of the activations' indicators of a policy in graph order; `None` when one of them is not
    /// known. A tensor that a rule holds at one bit-width counts as nothing if it has no indicator there.
    pub fn sums(&self, bits: &[Precision]) -> Option<[f64; 2]> {
        let graph = self.constraints.graph;
        let pinned = self.constraints.rules.allowed(graph, self.constraints.candidates).ok()?;
        let mut sums = [0.0; 2];
        for (rule, bits) in pinned.iter().zip(bits) {
            let of = self.indicators.layers.get(&rule.layer)?;
            let tensors = [(&of.weight, bits.weight, rule.weight_pinned), (&of.act, bits.act, rule.act_pinned)];
            for (sum, (values, bits, pinned)) in sums.iter_mut().zip(tensors) {
                *sum += values.get(&bits).copied().or(pinned.then_some(0.0))?;
            }
        }
        Some(sums)
    }

    /// What a solved instance says.
    pub fn found(&self, instance: &Instance, solved: &Solved, solver: &str) -> Found {
        let Constraints { graph, candidates, accounting, rules, .. } = self.constraints;
        let bits = instance.bits(&solved.picks);
        Found {
            budgets: self.uses(instance, &solved.picks),
            policy: Policy::new(graph, bits),
            objective: solved.objective,
            proof: solved.proof,
            accounting,
            solver: solver.to_owned(),
            alpha: self.alpha,
            rising_indicators: self.rising,
            candidates: candidates.clone(),
            warnings: self.indicators.audit(),
            rules: rules.rules.iter().map(ToString::to_string).collect(),
            shares: rules.shares.iter().map(ToString::to_string).collect(),
        }
    }

    /// What one percent more of each budget would gain, found by solving again. It stays unknown unless both answers are
    /// proven, and is not asked for after one that is not, or when the time is over.
    pub fn shadow_prices(&self, instance: &mut Instance, solved: &Solved, solver: Named, budgets: &mut [BudgetUse]) {
        let proven = |solved: &Solved| solved.proof.status == Status::Optimal;
        for (budget, used) in budgets.iter_mut().enumerate().filter(|_| proven(solved)) {
            if solver.deadline.passed() {
                return;
            }
            let Some(most) = instance.stated.limits[budget].most else { continue };
            instance.set_limit(budget, most.saturating_add(most / 100));
            let wider = solve(solver, &instance.problem, Some(&solved.picks));
            instance.set_limit(budget, most);
            let wider = wider.ok().filter(proven);
            used.gain_of_one_percent = wider.map(|wider| (solved.objective - wider.objective).max(0.0));
        }
    }

    /// The uniform policy of smallest objective that keeps every budget: the same weight bits and the same activation
    /// bits in every layer. `None` when no uniform policy keeps them.
    ///
    /// # Errors
    /// As [`Self::instance`].
    pub fn best_uniform(&self) -> Result<Option<Uniform>, SearchError> {
        let all = self.uniforms()?.into_iter().filter(|uniform| uniform.fits);
        Ok(all.min_by(|a, b| a.objective.total_cmp(&b.objective)))
    }

    /// Every uniform policy, highest weight bits first. Rules that pin a tensor of all layers to the same bits hold for them
    /// too. Other rules and bit-widths left out for rising indicators do not keep one out of this list; it says in how many
    /// layers they would.
    ///
    /// # Errors
    /// As [`Self::instance`].
    pub fn uniforms(&self) -> Result<Vec<Uniform>, SearchError> {
        let instance = self.instance()?;
        let Instance { stated, problem, .. } = &instance;
        let uniform = |bits: Precision| {
            let loss = |layer: &Allowed| {
                let of = &self.indicators.layers[&layer.layer];
                let value = |values: &BTreeMap<_, f64>, bits| values.get(&bits).copied().unwrap_or(0.0);
                value(&of.act, bits.act) + self.alpha * value(&of.weight, bits.weight)
            };
            let costs: Vec<Option<u64>> = stated.tables.iter().map(|table| table.uniform(bits)).collect();
            let fits = costs.iter().zip(&stated.limits).all(|(cost, limits)| {
                cost.is_some_and(|cost| limits.most.is_none_or(|most| cost <= most) && limits.least <= Some(cost))
            });
            let closed = problem.groups.iter().map(|group| {
                let open = |choice: &crate::search::Choice, place: usize| choice.bits[place] == bits;
                let has = |&place: &usize| !group.choices.iter().any(|choice| open(choice, place));
                (0..group.layers.len()).filter(has).count()
            });
            let printed = stated.tables.iter().zip(&costs).map(|(table, cost)| cost.map(|cost| table.printed(cost)));
            Uniform {
                bits,
                objective: stated.allowed.iter().map(loss).sum(),
                fits,
                used: printed.collect(),
                closed: closed.sum(),
            }
        };
        // Where rules pin a tensor of every layer to the same bits, uniform policies have these, too.
        let candidates: Vec<BitWidth> = self.constraints.candidates.iter().collect();
        let pinned = |of: fn(&Allowed) -> &Vec<BitWidth>| {
            let mut lists = stated.allowed.iter().map(of);
            let first = lists.next().filter(|first| first.len() == 1)?;
            lists.all(|list| list == first).then(|| first.clone())
        };
        let weight = pinned(|layer| &layer.weight).unwrap_or_else(|| candidates.clone());
        let act = pinned(|layer| &layer.act).unwrap_or(candidates);
        let pairs = weight.iter().flat_map(|&weight| act.iter().map(move |&act| Precision { weight, act }));
        Ok(pairs.map(uniform).collect())
    }

    /// How much of each budget a policy of an instance uses.
    pub fn uses(&self, instance: &Instance, picks: &[usize]) -> Vec<BudgetUse> {
        let stated = &instance.stated;
        let bits = instance.bits(picks);
        let binding = binding(instance, picks);
        let budgets = stated.tables.iter().zip(&stated.limits).zip(self.constraints.budgets).enumerate();
        budgets
            .map(|(index, ((table, limits), budget))| {
                let used = table.total(bits.iter().copied()).expect("costs are known wherever the search may go");
                BudgetUse {
                    name: budget.text.name.clone(),
                    asked: budget.text.to_string(),
                    limit: limits.most.map(|most| table.printed(most)),
                    least: limits.least.map(|least| table.printed(least)),
                    used: table.printed(used),
                    at_32_bits: table.at_32_bits().map(|cost| table.printed(cost)),
                    unit: table.unit.symbol(),
                    binding: binding[index],
                    gain_of_one_percent: None,
                }
            })
            .collect()
    }
}

/// For each budget, whether some group has an option of smaller loss that does not fit into what the policy leaves of it.
fn binding(instance: &Instance, picks: &[usize]) -> Vec<bool> {
    let Instance { stated, problem, origins, .. } = instance;
    let room = Room::new(problem, picks);
    let mut binding = vec![false; stated.tables.len()];
    for (place, (group, &pick)) in problem.groups.iter().zip(picks).enumerate() {
        let better = (0..group.choices.len()).filter(|&choice| group.choices[choice].loss < group.choices[pick].loss);
        for row in better.flat_map(|choice| room.overrun(&[(place, pick, choice)])) {
            binding[origins[row].budget] = true;
        }
    }
    binding
}
