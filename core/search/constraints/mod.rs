//! What a policy must keep: budgets on costs and rules on layers. All that a search depends on but its indicators.

mod allowed;
mod budget;
mod cost;
mod rising;
mod rules;

pub use allowed::{Allowed, Class};
pub use budget::{BudgetError, BudgetText, Limits};
pub use cost::{Accounting, Added, CostError, CostModel, CostTable, Step, Sum, Unit, uniform_precisions};
pub use rising::RisingIndicators;
pub use rules::{Joined, Rule, RuleError, Rules, Share};

use crate::{
    graph::Graph,
    registry::{self, RegistryError},
    search::{Candidates, Precision, ShareError},
};

/// A budget with the cost model that it is on.
pub struct Budget {
    /// Name and limit as written.
    pub text: BudgetText,
    /// What it limits.
    pub cost: Box<dyn CostModel>,
}

impl Budget {
    /// A budget on the cost model that it names, made from the options of that.
    ///
    /// # Errors
    /// Unknown names and wrong options.
    pub fn new(text: BudgetText, options: &toml::Table) -> Result<Self, RegistryError> {
        let cost = registry::build::<dyn CostModel>(&text.name, options)?;
        Ok(Self { text, cost })
    }
}

/// What a policy must keep.
#[derive(Clone, Copy)]
pub struct Constraints<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// The bit-widths to choose from, where no rule says otherwise.
    pub candidates: &'a Candidates,
    /// How costs are counted.
    pub accounting: Accounting,
    /// Limits on costs; may be empty.
    pub budgets: &'a [Budget],
    /// What single layers may have, and what they share.
    pub rules: &'a Rules,
}

/// Why constraints cannot be stated.
#[derive(Debug, thiserror::Error)]
pub enum ConstraintsError {
    /// A budget cannot be read.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Layers cannot share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A cost does not fit the network.
    #[error("cost {cost}: {error}")]
    Cost {
        /// Name of the cost model.
        cost: String,
        /// What does not fit.
        error: CostError,
    },
    /// A cost does not know a layer that it is needed for.
    #[error("cost {cost} does not know {count} of the layers and bits that this search needs: {missing}")]
    Unknown {
        /// Name of the cost model.
        cost: String,
        /// How many are missing.
        count: usize,
        /// The first of them.
        missing: String,
    },
    /// A lower limit on a peak.
    #[error(
        "budget {0}: {1} is a peak, the largest of several sums, so that it must be at least something is no linear \
         constraint; give only an upper end"
    )]
    LeastOfPeak(String, String),
}

/// Constraints worked out for their graph.
pub struct Stated {
    /// What each searchable layer may have.
    pub allowed: Vec<Allowed>,
    /// The cost behind each budget.
    pub tables: Vec<CostTable>,
    /// Both ends of each budget.
    pub limits: Vec<Limits>,
}

impl Constraints<'_> {
    /// Works out costs, limits and what each layer may have.
    ///
    /// # Errors
    /// Budgets that cannot be read, rules that match nothing or contradict each other, costs that do not cover the network.
    pub fn state(&self) -> Result<Stated, ConstraintsError> {
        let allowed = self.rules.allowed(self.graph, self.candidates)?;
        let precisions: Vec<Precision> =
            self.candidates.pairs().chain(allowed.iter().flat_map(Allowed::pairs)).collect();
        let mut tables = vec![];
        let mut limits = vec![];
        for Budget { text, cost } in self.budgets {
            let named = |error| ConstraintsError::Cost { cost: text.name.clone(), error };
            cost.check(self.graph).map_err(named)?;
            let bits = precisions.iter().copied().chain(text.precisions());
            let table = CostTable::new(&text.name, cost.as_ref(), self.graph, bits, self.accounting);
            covered(&table, &allowed)?;
            let ends = text.limits(&table)?;
            if ends.least.is_some() && table.sums.len() > 1 {
                return Err(ConstraintsError::LeastOfPeak(text.to_string(), text.name.clone()));
            }
            tables.push(table);
            limits.push(ends);
        }
        Ok(Stated { allowed, tables, limits })
    }
}

/// Whether a cost is known wherever the search may go.
fn covered(table: &CostTable, allowed: &[Allowed]) -> Result<(), ConstraintsError> {
    let fixed = table.unknown.iter().cloned();
    let searched = allowed.iter().enumerate().flat_map(|(index, layer)| {
        layer.pairs().filter(move |&bits| !table.covers(index, bits)).map(|bits| format!("{} {bits}", layer.layer))
    });
    let missing: Vec<String> = fixed.chain(searched).collect();
    if missing.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 6;
    let more = if missing.len() > SHOWN { format!(" and {} more", missing.len() - SHOWN) } else { String::new() };
    let shown = missing.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    Err(ConstraintsError::Unknown { cost: table.name.clone(), count: missing.len(), missing: shown + &more })
}
