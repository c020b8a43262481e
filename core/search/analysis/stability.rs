//! How much a policy owes to chance in its indicators: the search is done again with other indicators, noisy ones or those
//! of further seeds, and the policies are compared under the original ones.

use crate::search::{Indicators, Instance, Named, Precision, Search, SearchError, Solved, Status};
use rand::SeedableRng;
use rand_distr::{Distribution, LogNormal};
use serde::Serialize;
use std::collections::BTreeMap;

/// Indicators times independent lognormal factors of median 1. `noise` is the deviation of their logarithm: 0.05 is about
/// five percent. The same seed and sample give the same indicators.
///
/// # Panics
/// If `noise` is negative or not finite.
pub fn noisy(indicators: &Indicators, noise: f64, seed: u64, sample: u64) -> Indicators {
    let factors = LogNormal::new(0.0, noise).expect("the noise is finite and not negative");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(sample);
    let mut noisy = indicators.clone();
    for layer in noisy.layers.values_mut() {
        for value in layer.weight.values_mut().chain(layer.act.values_mut()) {
            *value *= factors.sample(&mut random);
        }
    }
    noisy
}

/// What happened to one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flips {
    /// State-dict name.
    pub layer: String,
    /// Its bits in the policy that is judged.
    pub base: Precision,
    /// In how many searches it got others.
    pub flips: usize,
    /// In how many its weight bits changed.
    pub weight_flips: usize,
    /// In how many its activation bits changed.
    pub act_flips: usize,
    /// What it changed to and how often, most often first.
    pub to: Vec<(Precision, usize)>,
}

/// Spread of a number over the searches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub least: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub most: f64,
}

/// How stable a policy is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// Number of searches with other indicators.
    pub searches: usize,
    /// How many of them are not proven; what they show may be the solver's doing.
    pub unproven: usize,
    /// How many gave the same policy.
    pub same: usize,
    /// Mean number of layers whose bits changed.
    pub mean_flipped_layers: f64,
    /// The objectives that the searches found, each under its own indicators.
    pub objective: Spread,
    /// How much higher the objective of the found policies is than that of the judged one, under the original indicators.
    pub regret: Spread,
    /// Each searchable layer, in graph order.
    pub layers: Vec<Flips>,
}

impl Search<'_> {
    /// Judges an answer by searches with other indicators. `None` when there are none.
    ///
    /// # Errors
    /// Indicators that do not fit; a solver that fails.
    pub fn stability(
        &self,
        instance: &Instance,
        base: &Solved,
        others: impl IntoIterator<Item = Indicators>,
        solver: Named,
    ) -> Result<Option<Stability>, SearchError> {
        let bits = instance.bits(&base.picks);
        let mut layers: Vec<(usize, usize, BTreeMap<Precision, usize>)> = vec![Default::default(); bits.len()];
        let (mut objectives, mut regrets, mut flipped) = (vec![], vec![], vec![]);
        let mut unproven = 0;
        for indicators in others {
            // What is known by then is told; one search at least is needed for that.
            if !flipped.is_empty() && solver.deadline.passed() {
                break;
            }
            let other = Search { indicators: &indicators, ..*self };
            let instance = other.instance()?;
            let solved = other.solve(&instance, solver, instance.picks(&bits).as_deref())?;
            unproven += usize::from(solved.proof.status != Status::Optimal);
            let found = instance.bits(&solved.picks);
            for ((of, base), found) in
                layers.iter_mut().zip(&bits).zip(&found).filter(|((_, base), found)| base != found)
            {
                of.0 += usize::from(base.weight != found.weight);
                of.1 += usize::from(base.act != found.act);
                *of.2.entry(*found).or_default() += 1;
            }
            flipped.push(bits.iter().zip(&found).filter(|(base, found)| base != found).count());
            objectives.push(solved.objective);
            regrets.push(self.worth(&found) - self.worth(&bits));
        }
        let (Some(objective), Some(regret)) = (spread(&objectives), spread(&regrets)) else { return Ok(None) };
        let names = instance.stated.allowed.iter().map(|layer| layer.layer.clone());
        let layers = names.zip(bits).zip(layers).map(|((layer, base), (weight_flips, act_flips, to))| {
            let mut to: Vec<(Precision, usize)> = to.into_iter().collect();
            to.sort_by_key(|&(bits, times)| (std::cmp::Reverse(times), bits));
            Flips { layer, base, flips: to.iter().map(|(_, times)| times).sum(), weight_flips, act_flips, to }
        });
        Ok(Some(Stability {
            searches: flipped.len(),
            unproven,
            same: flipped.iter().filter(|&&layers| layers == 0).count(),
            mean_flipped_layers: flipped.iter().sum::<usize>() as f64 / flipped.len() as f64,
            objective,
            regret,
            layers: layers.collect(),
        }))
    }

    /// The objective of any policy whose bits have indicators.
    fn worth(&self, bits: &[Precision]) -> f64 {
        let [weight, act] = self.sums(bits).expect("what a search chose from has indicators");
        act + self.alpha * weight
    }
}

fn spread(values: &[f64]) -> Option<Spread> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    // Divided before they are added, as the sum of many large numbers need not be a float.
    let mean = values.iter().map(|value| value / values.len() as f64).sum();
    Some(Spread { least, mean, most })
}
