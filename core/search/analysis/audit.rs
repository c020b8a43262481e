//! A look at a set of indicators before anything is searched with it. A search proves its answer optimal *for the indicators*;
//! whether these mean anything it cannot know. What is found here stops nothing: it is a warning, in words.
//!
//! The thresholds leave what is known to be sound alone. Of LIMPQ's published indicators of ResNet-50 no value is further than
//! 3.4 times from what layer and bits explain, no layer further than 5.4 times from the others, and the largest of two rises with
//! the bits is 2.7 times. Measurements of harm spread over more decades than step sizes do, so theirs are wider.

use crate::search::{BitWidth, Indicators, LayerIndicators};
use std::collections::BTreeMap;

/// The smallest step size that quantizers allow when nothing else is asked for.
const FLOOR: f64 = 1e-5;
/// What quantizers that have one call the option for another floor.
const FLOOR_OPTION: &str = "min_step";
/// Of 32-bit floats around the floor.
const FLOOR_SLACK: f64 = 1e-6;
/// A rise from one bit-width to the next is out of order from this factor on.
const RISE: f64 = 4.0;
/// A rise counts only if it is more than this share of what layers usually have.
const RISE_OF_USUAL: f64 = 0.01;
/// How many layers a warning names.
const SHOWN: usize = 4;

/// How far a value may be from what its layer and its bits explain, and a layer from all others.
struct Spread {
    value: f64,
    layer: f64,
}
const STEP_SIZES: Spread = Spread { value: 30.0, layer: 1e3 };
const MEASUREMENTS: Spread = Spread { value: 1e4, layer: 1e6 };

type ByBits = BTreeMap<BitWidth, f64>;
type OfLayer = fn(&LayerIndicators) -> &ByBits;

/// The indicators of one tensor of every layer.
struct Tensors<'a> {
    /// `weight` or `act`.
    name: &'static str,
    of: OfLayer,
    layers: Vec<(&'a str, &'a ByBits)>,
}

impl Indicators {
    /// What looks wrong with them, one sentence for each kind of fault; empty for sound ones. Numbers that are not finite are
    /// left to [`Self::check`].
    pub fn audit(&self) -> Vec<String> {
        let mut found = vec![];
        let record = &self.provenance;
        let zero = |what: &str, layers: &[String]| {
            let named: Vec<String> = layers.to_vec();
            warning(&named, &format!("{what}: at any bits nothing is lost, so that their indicators are 0"))
        };
        found.extend(zero("layers have only zeros as weights (pruned?)", &record.zero_weights));
        found.extend(zero("layers read only zeros (dead activations?)", &record.zero_inputs));
        let tensors: [(&'static str, OfLayer); 2] = [("weight", |layer| &layer.weight), ("act", |layer| &layer.act)];
        for (name, of) in tensors {
            let layers = self.layers.iter().map(|(layer, values)| (layer.as_str(), of(values))).collect();
            let tensors = Tensors { name, of, layers };
            let option = record.quantizer_options.as_ref().and_then(|options| options.get(FLOOR_OPTION)?.as_float());
            found.extend(tensors.at_the_floor(option.unwrap_or(FLOOR), record.step_sizes));
            found.extend(tensors.subnormal());
            found.extend(tensors.out_of_line(if record.step_sizes { STEP_SIZES } else { MEASUREMENTS }));
            found.extend(tensors.rising());
            if let Some(initial) = &record.initial {
                found.extend(tensors.unmoved(initial, &record.zero_weights, &record.zero_inputs));
            }
        }
        found
    }
}

impl Tensors<'_> {
    fn at_the_floor(&self, floor: f64, step_sizes: bool) -> Option<String> {
        let at_floor = |value: f64| (value - floor).abs() <= floor * FLOOR_SLACK;
        let low = |value: f64| at_floor(value) || step_sizes && value > 0.0 && value < floor;
        let places = self.places(|_, _, value| low(value));
        warning(
            &places,
            &format!(
                "{} indicators are at the floor of {floor:e} that step sizes are kept at: the training drove them to nothing, and \
                 they say nothing about the layer",
                self.name
            ),
        )
    }

    /// Numbers so small that a float holds them with fewer digits than others.
    fn subnormal(&self) -> Option<String> {
        let places = self.places(|_, _, value| value.is_subnormal());
        warning(&places, &format!("{} indicators are so small that a float holds only some of their digits", self.name))
    }

    /// Values far above what the product of a layer's and a bit-width's usual size explains, and layers far above the others.
    fn out_of_line(&self, Spread { value, layer }: Spread) -> Option<String> {
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let logs = |bits: BitWidth| -> Vec<f64> {
            let of_bits = self.layers.iter().filter_map(|(_, values)| values.get(&bits).copied());
            of_bits.filter(|&value| usable(value)).map(f64::ln).collect()
        };
        let all_bits: std::collections::BTreeSet<BitWidth> =
            self.layers.iter().flat_map(|(_, values)| values.keys().copied()).collect();
        let usual: BTreeMap<BitWidth, f64> =
            all_bits.into_iter().filter_map(|bits| Some((bits, lower_median(logs(bits))?))).collect();
        let above_usual = |values: &ByBits| {
            let above =
                values.iter().filter(|(_, value)| usable(**value)).map(|(bits, value)| value.ln() - usual[bits]);
            lower_median(above.collect())
        };
        let places = self.places(|values, bits, number| {
            let Some(of_layer) = above_usual(values).filter(|_| usable(number)) else { return false };
            let alone = number.ln() - usual[&bits] - of_layer;
            alone > value.ln() || of_layer > layer.ln()
        });
        warning(
            &places,
            &format!(
                "{} indicators are far above those of the same layer at other bits or of other layers: what made them may have \
                 diverged",
                self.name
            ),
        )
    }

    /// More bits, more harm: from one bit-width to the next by a lot, or from the lowest to the highest at all.
    fn rising(&self) -> Option<String> {
        let largest =
            |(_, values): &(&str, &ByBits)| values.values().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let usual = lower_median(self.layers.iter().map(largest).collect())?;
        let counts = |low: f64, high: f64| high - low > RISE_OF_USUAL * usual;
        let mut places = vec![];
        for (layer, values) in &self.layers {
            let list: Vec<(BitWidth, f64)> = values.iter().map(|(&bits, &value)| (bits, value)).collect();
            let jump = list.windows(2).find(|pair| pair[1].1 > RISE * pair[0].1 && counts(pair[0].1, pair[1].1));
            let ends = list.first().zip(list.last()).filter(|(low, high)| high.1 > low.1 && counts(low.1, high.1));
            if let Some((low, high)) = jump.map(|pair| (&pair[0], &pair[1])).or(ends) {
                places.push(format!("{layer} ({:.3e} at {}, {:.3e} at {} bits)", low.1, low.0, high.1, high.0));
            }
        }
        warning(
            &places,
            &format!("layers have {} indicators that rise with the bits, as if more bits did harm", self.name),
        )
    }

    /// Tensors whose step sizes are where they started, to the last bit and at all bit-widths.
    fn unmoved(
        &self,
        initial: &BTreeMap<String, LayerIndicators>,
        zero_weights: &[String],
        zero_inputs: &[String],
    ) -> Option<String> {
        let zero = if self.name == "weight" { zero_weights } else { zero_inputs };
        let still = |&(layer, values): &(&str, &ByBits)| {
            let start = initial.get(layer).map(self.of);
            !values.is_empty() && start == Some(values) && !zero.iter().any(|zero| zero == layer)
        };
        let places: Vec<String> = self.layers.iter().filter(|of| still(of)).map(|of| of.0.to_owned()).collect();
        warning(
            &places,
            &format!(
                "layers have {} indicators that no training has moved: they are those that the pre-trained network starts with",
                self.name
            ),
        )
    }

    /// "layer at 2, 3 bits" for each layer of which some values are meant.
    fn places(&self, meant: impl Fn(&ByBits, BitWidth, f64) -> bool) -> Vec<String> {
        let of = |&(layer, values): &(&str, &ByBits)| {
            let bits = values.iter().filter(|&(&bits, &value)| meant(values, bits, value));
            let bits: Vec<String> = bits.map(|(bits, _)| bits.to_string()).collect();
            (!bits.is_empty()).then(|| format!("{layer} at {} bits", bits.join(", ")))
        };
        self.layers.iter().filter_map(of).collect()
    }
}

fn warning(places: &[String], what: &str) -> Option<String> {
    let more = match places.len() {
        0 => return None,
        count if count > SHOWN => format!(" and {} more", count - SHOWN),
        _ => String::new(),
    };
    Some(format!("{what}: {}{more}", places[..places.len().min(SHOWN)].join(", ")))
}

/// Of two the smaller, so that one of two layers can be out of line.
fn lower_median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Candidates, Provenance};

    fn bits(bits: u64) -> BitWidth {
        BitWidth::new(bits).unwrap()
    }

    /// Three layers whose step sizes are 0.1, 0.2 and 0.4 times 2^-(b-2) at b = 4, 3, 2, of weights and of activations.
    fn sound() -> Indicators {
        let by_bits = |scale: f64| -> ByBits { [4, 3, 2].map(|b| (bits(b), scale * 0.5f64.powi(b as i32 - 2))).into() };
        let layer = |scale| LayerIndicators { weight: by_bits(scale), act: by_bits(scale) };
        let layers = [("a", 0.1), ("b", 0.2), ("c", 0.4)].map(|(name, scale)| (name.to_owned(), layer(scale)));
        let provenance = Provenance { step_sizes: true, ..Provenance::default() };
        Indicators::new(None, Candidates::of(&[4, 3, 2]).unwrap(), provenance, layers.into())
    }

    fn with(change: impl FnOnce(&mut Indicators)) -> Vec<String> {
        let mut indicators = sound();
        change(&mut indicators);
        indicators.audit()
    }

    fn set(indicators: &mut Indicators, layer: &str, at: u64, value: f64) {
        indicators.layers.get_mut(layer).unwrap().weight.insert(bits(at), value);
    }

    #[test]
    fn sound_ones_are_left_alone() {
        assert_eq!(sound().audit(), [""; 0]);
        // LIMPQ's published ones have a rise of 2.7 times.
        let published = |i: &mut Indicators| {
            set(i, "c", 3, 0.1);
            set(i, "c", 4, 0.27);
        };
        assert_eq!(with(published), [""; 0]);
    }

    /// What one run without clipping ended with: 1e-5 at 2 bits beside 45 at 4.
    #[test]
    fn floors_explosions_and_rises_are_told() {
        let told = with(|i| {
            set(i, "b", 2, f64::from(1e-5f32));
            set(i, "b", 4, 45.0);
        });
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("weight indicators are at the floor of 1e-5") && told[0].ends_with(": b at 2 bits")
        );
        assert!(told[1].contains("far above") && told[1].ends_with(": b at 4 bits"), "{}", told[1]);
        assert!(told[2].contains("rise with the bits") && told[2].contains(": b ("), "{}", told[2]);
    }

    #[test]
    fn the_floor_is_the_quantizer_s() {
        let told = with(|i| {
            i.provenance.quantizer_options = Some("min_step = 0.01".parse().unwrap());
            set(i, "a", 4, 0.01);
        });
        assert!(told.len() == 1 && told[0].contains("at the floor of 1e-2"), "{told:?}");
    }

    #[test]
    fn digits_that_are_lost_are_told() {
        let told = with(|i| {
            i.provenance.step_sizes = false;
            set(i, "a", 4, 1e-310);
        });
        assert!(told.len() == 1 && told[0].contains("only some of their digits: a at 4 bits"), "{told:?}");
    }

    #[test]
    fn a_layer_that_exploded_at_all_bits_is_told() {
        let told = with(|i| [4, 3, 2].into_iter().for_each(|at| set(i, "c", at, 7.5e7 / at as f64)));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with(": c at 2, 3, 4 bits"), "{}", told[0]);
    }

    #[test]
    fn a_slow_rise_over_all_bits_is_told() {
        let told = with(|i| [4, 3, 2].into_iter().for_each(|at| set(i, "a", at, 0.05 * at as f64)));
        assert!(told.len() == 1 && told[0].contains(": a (1.000e-1 at 2, 2.000e-1 at 4 bits)"), "{told:?}");
    }

    /// Numbers around the noise of a measurement rise and fall, over many decades.
    #[test]
    fn measurements_may_spread_wider() {
        let noise = |indicators: &mut Indicators| {
            indicators.provenance.step_sizes = false;
            set(indicators, "a", 2, 1e-9);
            set(indicators, "a", 3, 3e-7);
            set(indicators, "a", 4, 1e-6);
            set(indicators, "c", 2, 40.0);
        };
        assert_eq!(with(noise), [""; 0]);
    }

    #[test]
    fn what_never_moved_is_told_where_the_start_is_known() {
        let told = with(|i| {
            let mut initial = i.layers.clone();
            for values in initial.values_mut().take(2) {
                values.weight.values_mut().for_each(|value| *value *= 1.0 + f64::EPSILON);
            }
            initial.get_mut("a").unwrap().act.insert(bits(2), 0.2);
            i.provenance.initial = Some(initial);
            i.provenance.zero_inputs = vec!["b".to_owned()];
        });
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("layers read only zeros") && told[0].ends_with(": b"));
        assert!(told[1].starts_with("layers have weight indicators that no training") && told[1].ends_with(": c"));
        assert!(told[2].starts_with("layers have act indicators that no training") && told[2].ends_with(": c"));
    }

    #[test]
    fn many_layers_are_counted() {
        let places: Vec<String> = (0..6).map(|place| format!("l{place}")).collect();
        assert_eq!(warning(&places, "odd").unwrap(), "odd: l0, l1, l2, l3 and 2 more");
    }
}
