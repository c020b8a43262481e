//! Enumerates every policy: the oracle that other solvers are tested against.
//!
//! Policies are visited in lexicographic order, the last layer changing fastest, like an odometer. Sums are kept for
//! every prefix, so that a step costs only as much as the layers it changes, and losses are added in graph order, as
//! [`Problem::objective`] does. Among equal objectives the fewest total bits (weight and activation bits summed over
//! the layers) win, then the policy that comes first. Problems with more than `max_policies` policies are refused.

use limpq_core::search::{Answer, Choice, Problem, Solver, SolverError, Status};
use serde::{Deserialize, Serialize};

/// Options of the enumeration.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BruteForce {
    /// Largest number of policies; problems with more are refused.
    pub max_policies: u64,
}

impl Default for BruteForce {
    fn default() -> Self {
        Self { max_policies: 10_000_000 }
    }
}

limpq_core::plugin!(Solver, "brute_force", "every policy, one after another; for small problems and tests", BruteForce);

impl Solver for BruteForce {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        let policies = problem.policies();
        if policies.is_none_or(|policies| policies > self.max_policies) {
            let found = policies.map_or_else(|| "more than 2^64".to_owned(), |policies| policies.to_string());
            return Err(SolverError::TooLarge { solver: "brute_force", found, allowed: self.max_policies });
        }
        let groups = &problem.groups;
        if groups.iter().any(|group| group.choices.is_empty()) {
            return Err(SolverError::Infeasible);
        }
        let mut digits = vec![0; groups.len()];
        let mut sums = vec![Sums::none(problem.rows.len())];
        let mut best: Option<(f64, u64, Vec<usize>)> = None;
        loop {
            // Sums of the prefixes before the changed layer are still valid.
            while let Some(group) = groups.get(sums.len() - 1) {
                let depth = sums.len() - 1;
                sums.push(sums[depth].and(&group.choices[digits[depth]]));
            }
            let total = &sums[groups.len()];
            let kept = problem
                .rows
                .iter()
                .zip(&total.costs)
                .all(|(row, &used)| used + row.base.map_or(0, |base| total.costs[base]) <= row.limit);
            // The order of visits breaks remaining ties.
            if kept && best.as_ref().is_none_or(|best| (total.loss, total.bits) < (best.0, best.1)) {
                best = Some((total.loss, total.bits, digits.clone()));
            }
            let Some(turned) = (0..groups.len()).rfind(|&g| digits[g] + 1 < groups[g].choices.len()) else { break };
            digits[turned] += 1;
            digits[turned + 1..].fill(0);
            sums.truncate(turned + 1);
        }
        let (loss, _, picks) = best.ok_or(SolverError::Infeasible)?;
        Ok(Answer { picks, status: Status::Optimal, bound: Some(loss), nodes: None })
    }
}

/// Sums over the choices of the first few layers.
struct Sums {
    loss: f64,
    bits: u64,
    costs: Vec<i128>,
}

impl Sums {
    fn none(rows: usize) -> Self {
        Self { loss: 0.0, bits: 0, costs: vec![0; rows] }
    }

    fn and(&self, choice: &Choice) -> Self {
        let mut costs = self.costs.clone();
        choice.costs.iter().for_each(|(row, cost)| costs[row] += i128::from(cost));
        Self { loss: self.loss + choice.loss, bits: self.bits + choice.total_bits(), costs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract;

    #[test]
    fn keeps_the_contract() {
        contract::check(&BruteForce::default());
    }

    /// Two layers, costs 1, 2, 3; losses fall as costs rise. Limit 4 admits six policies, of which 2+2 is the best.
    #[test]
    fn worked_example() {
        let problem = contract::problem(
            &[&[(2, 9.0, &[1]), (3, 4.0, &[2]), (4, 1.0, &[3])], &[(2, 8.0, &[1]), (3, 2.0, &[2]), (4, 1.5, &[3])]],
            &[4],
        );
        let answer = BruteForce::default().solve(&problem).unwrap();
        assert_eq!((answer.picks, answer.bound), (vec![1, 1], Some(6.0)));
    }

    #[test]
    fn ties_go_to_fewer_bits_then_to_the_first_policy() {
        let same: &[(u64, f64, &[u64])] = &[(4, 1.0, &[1]), (3, 1.0, &[1]), (3, 1.0, &[1])];
        let problem = contract::problem(&[same, same], &[9]);
        assert_eq!(BruteForce::default().solve(&problem).unwrap().picks, [1, 1]);
    }

    #[test]
    fn refuses_what_it_cannot_enumerate() {
        let group: &[(u64, f64, &[u64])] = &[(2, 1.0, &[1]), (3, 0.5, &[2])];
        let refuse = |groups: usize, max_policies: u64| {
            let problem = contract::problem(&vec![group; groups], &[1000]);
            BruteForce { max_policies }.solve(&problem).unwrap_err().to_string()
        };
        assert_eq!(refuse(4, 15), "brute_force handles up to 15 policies, this problem has 16; use another solver");
        assert!(refuse(64, 15).contains("this problem has more than 2^64"));
    }
}
