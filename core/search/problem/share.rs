//! Layers that share bits become one group with joint options, so that the problem stays a plain multiple choice.
//!
//! Options are joined layer by layer. When they become many, an option goes if another one with the same bits in every
//! class that later layers belong to costs no more in any budget and loses no more: the rest of the policy can replace the
//! first by the second.

use crate::search::{Choice, Class, Costs, Group, Precision};

/// Fewer joint options than this are all kept: alternatives to the best policy are worth seeing too.
const PRUNED_FROM: usize = 1000;
/// Joint options beyond this many are refused rather than compared and searched for hours.
const MOST_OPTIONS: usize = 20_000;

/// One way to quantize one layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerOption {
    /// Its bits.
    pub bits: Precision,
    /// What it adds to the objective.
    pub loss: f64,
    /// What it costs in the rows.
    pub costs: Costs,
}

/// Why layers cannot be joined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShareError {
    /// No bit-width is open to all of them.
    #[error("layers {layers} share bits, but no choice of bits is open to all of them")]
    NothingCommon {
        /// The layers.
        layers: String,
    },
    /// Too many combinations.
    #[error(
        "layers {layers} share only some of their bits, which makes more than {MOST_OPTIONS} joint options; let them share \
         weights and activations, or fewer layers"
    )]
    TooMany {
        /// The layers.
        layers: String,
    },
}

/// The groups of a problem, in the order of their first layers.
pub(super) fn groups(
    names: &[String],
    options: &[Vec<LayerOption>],
    classes: &[Class],
) -> Result<Vec<Group>, ShareError> {
    components(names.len(), classes)
        .into_iter()
        .map(|layers| {
            let choices = match layers[..] {
                [only] => options[only].iter().map(single).collect(),
                _ => joint(names, options, classes, &layers, PRUNED_FROM)?,
            };
            Ok(Group { layers: layers.iter().map(|&layer| names[layer].clone()).collect(), choices })
        })
        .collect()
}

fn single(option: &LayerOption) -> Choice {
    Choice { bits: vec![option.bits], loss: option.loss, costs: option.costs.clone() }
}

/// Layers that classes connect, directly or through others; each ascending.
fn components(layers: usize, classes: &[Class]) -> Vec<Vec<usize>> {
    let mut component: Vec<usize> = (0..layers).collect();
    for class in classes {
        let least = class.members.iter().map(|&layer| component[layer]).min().expect("a class has members");
        let joined: Vec<usize> = class.members.iter().map(|&layer| component[layer]).collect();
        component.iter_mut().filter(|of| joined.contains(of)).for_each(|of| *of = least);
    }
    let of = |root: usize| (0..layers).filter(|&layer| component[layer] == root).collect::<Vec<_>>();
    (0..layers).map(of).filter(|layers| !layers.is_empty()).collect()
}

fn joint(
    names: &[String],
    options: &[Vec<LayerOption>],
    classes: &[Class],
    layers: &[usize],
    prune_from: usize,
) -> Result<Vec<Choice>, ShareError> {
    let shown = || layers.iter().map(|&layer| names[layer].as_str()).collect::<Vec<_>>().join(", ");
    let mine: Vec<&Class> = classes.iter().filter(|class| layers.contains(&class.members[0])).collect();
    let of = |class: &Class, bits: Precision| if class.weight { bits.weight } else { bits.act };
    let mut joined: Vec<Choice> = options[layers[0]].iter().map(single).collect();
    for (done, &layer) in layers.iter().enumerate().skip(1) {
        // Classes of this layer, each with the place of an earlier member whose bits are settled.
        let settled: Vec<(&Class, usize)> = mine
            .iter()
            .filter(|class| class.members.contains(&layer))
            .filter_map(|&class| Some((class, layers[..done].iter().position(|other| class.members.contains(other))?)))
            .collect();
        let agrees = |choice: &Choice, option: &LayerOption| {
            settled.iter().all(|&(class, place)| of(class, choice.bits[place]) == of(class, option.bits))
        };
        let mut next = vec![];
        for choice in &joined {
            next.extend(
                options[layer].iter().filter(|option| agrees(choice, option)).map(|option| with(choice, option)),
            );
            if next.len() > MOST_OPTIONS {
                return Err(ShareError::TooMany { layers: shown() });
            }
        }
        // Bits that the options of later layers will be compared with.
        let open: Vec<(&Class, usize)> = mine
            .iter()
            .filter(|class| layers[done + 1..].iter().any(|later| class.members.contains(later)))
            .filter_map(|&class| Some((class, layers[..=done].iter().position(|other| class.members.contains(other))?)))
            .collect();
        let key =
            |choice: &Choice| open.iter().map(|&(class, place)| of(class, choice.bits[place])).collect::<Vec<_>>();
        joined = match next.len() < prune_from {
            true => next,
            false => undominated(next, key),
        };
    }
    match joined.is_empty() {
        true => Err(ShareError::NothingCommon { layers: shown() }),
        false => Ok(joined),
    }
}

fn with(choice: &Choice, option: &LayerOption) -> Choice {
    Choice {
        bits: choice.bits.iter().copied().chain([option.bits]).collect(),
        loss: choice.loss + option.loss,
        costs: choice.costs.plus(&option.costs),
    }
}

/// The options that no other one of the same key replaces, in their order.
fn undominated<K: PartialEq>(choices: Vec<Choice>, key: impl Fn(&Choice) -> K) -> Vec<Choice> {
    let keys: Vec<K> = choices.iter().map(key).collect();
    let mut order: Vec<usize> = (0..choices.len()).collect();
    order.sort_by(|&a, &b| {
        let rank = |i: usize| (choices[i].total_bits(), i);
        choices[a].loss.total_cmp(&choices[b].loss).then_with(|| rank(a).cmp(&rank(b)))
    });
    let mut kept: Vec<usize> = vec![];
    for index in order {
        let choice = &choices[index];
        let replaced = kept.iter().any(|&other| {
            let better = &choices[other];
            keys[other] == keys[index]
                && (better.loss < choice.loss || better.total_bits() <= choice.total_bits())
                && better.costs.within(&choice.costs)
        });
        if !replaced {
            kept.push(index);
        }
    }
    kept.sort_unstable();
    let mut choices: Vec<Option<Choice>> = choices.into_iter().map(Some).collect();
    kept.into_iter().filter_map(|index| choices[index].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(bits: &str, loss: f64, cost: u64) -> LayerOption {
        LayerOption { bits: bits.parse().unwrap(), loss, costs: vec![cost].into() }
    }

    fn bits(choice: &Choice) -> String {
        choice.bits.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|layer| format!("layer{layer}")).collect()
    }

    #[test]
    fn layers_that_share_everything_choose_together() {
        let options = vec![vec![option("w4a4", 1.0, 4), option("w2a2", 3.0, 2)]; 3];
        let classes = [true, false].map(|weight| Class { weight, members: vec![0, 2] });
        let groups = groups(&names(3), &options, &classes).unwrap();
        assert_eq!(groups[0].layers, ["layer0", "layer2"]);
        assert_eq!(groups[1].layers, ["layer1"]);
        let seen: Vec<_> = groups[0].choices.iter().map(|c| (bits(c), c.loss, c.costs.of(0))).collect();
        assert_eq!(seen, [("w4a4 w4a4".into(), 2.0, 8), ("w2a2 w2a2".into(), 6.0, 4)]);
    }

    /// Both share activations only. With a4: weights 4 and 2 each, of which w4+w2 and w2+w4 cost and lose the same, so the
    /// first of them stands for both.
    #[test]
    fn what_is_not_shared_stays_free_and_dominated_options_go() {
        let layer =
            vec![option("w4a4", 1.0, 4), option("w2a4", 3.0, 2), option("w4a2", 2.5, 3), option("w2a2", 9.0, 3)];
        let classes = [Class { weight: false, members: vec![0, 1] }];
        let options = [layer.clone(), layer];
        let seen = |prune_from| -> Vec<String> {
            joint(&names(2), &options, &classes, &[0, 1], prune_from).unwrap().iter().map(bits).collect()
        };
        assert_eq!(seen(0), ["w4a4 w4a4", "w4a4 w2a4", "w2a4 w2a4"]);
        assert_eq!(seen(9).len(), 8, "few options all stay");
    }

    #[test]
    fn layers_without_common_bits_are_an_error() {
        let options = [vec![option("w4a4", 1.0, 4)], vec![option("w2a2", 3.0, 2)]];
        let classes = [Class { weight: true, members: vec![0, 1] }];
        let error = groups(&names(2), &options, &classes).unwrap_err().to_string();
        assert_eq!(error, "layers layer0, layer1 share bits, but no choice of bits is open to all of them");
    }

    /// Layers of eight options each that share nothing but the weights' only bit-width; costs are digits to base 8, and what
    /// costs more loses less, so that none of the 8^5 = 32768 joint options of five replaces another.
    #[test]
    fn too_many_joint_options_are_refused() {
        let layer = |place: u32| -> Vec<LayerOption> {
            let cost = |act: u64| (act - 2) * 8u64.pow(place);
            (2..=9).map(|act| option(&format!("w4a{act}"), -(cost(act) as f64), cost(act))).collect()
        };
        let options: Vec<_> = (0..5).map(layer).collect();
        let ask = |layers: usize| {
            let classes = [Class { weight: true, members: (0..layers).collect() }];
            groups(&names(layers), &options[..layers], &classes).map(|groups| groups[0].choices.len())
        };
        assert_eq!(ask(4), Ok(4096));
        assert_eq!(
            ask(5).unwrap_err().to_string(),
            "layers layer0, layer1, layer2, layer3, layer4 share only some of their bits, which makes more than 20000 joint \
             options; let them share weights and activations, or fewer layers"
        );
    }
}
