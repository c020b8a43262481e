//! Rules, shares and ranges: the policy found under them is the best of all policies that keep them, by trying every one
//! here; and what is said when they cannot be read.

use crate::fixtures;
use limpq_core::graph::Graph;
use limpq_core::registry;
use limpq_core::search::{
    Accounting, Budget, BudgetText, Candidates, Constraints, CostModel, CostTable, Found, Indicators, Named, Policy,
    Precision, RisingIndicators, Rules, Search, SearchError, Solver,
};

/// A search on the small network with made-up indicators, alpha 2.
pub struct Case {
    pub graph: Graph,
    pub indicators: Indicators,
    pub candidates: Candidates,
    pub accounting: Accounting,
    pub budgets: Vec<Budget>,
    pub rules: Rules,
}

fn budget(text: &str) -> Budget {
    let text: BudgetText = text.parse().unwrap();
    let cost = registry::build::<dyn CostModel>(&text.name, &toml::Table::new()).unwrap();
    Budget { text, cost }
}

pub fn case(budgets: &[&str], rules: &[&str], shares: &[&str]) -> Case {
    Case {
        graph: fixtures::graph(),
        indicators: fixtures::indicators(&[4, 2]),
        candidates: Candidates::of(&[4, 2]).unwrap(),
        accounting: Accounting::Exact,
        budgets: budgets.iter().map(|text| budget(text)).collect(),
        rules: Rules {
            rules: rules.iter().map(|text| text.parse().unwrap()).collect(),
            shares: shares.iter().map(|text| text.parse().unwrap()).collect(),
        },
    }
}

impl Case {
    pub fn search(&self) -> Search<'_> {
        let constraints = Constraints {
            graph: &self.graph,
            candidates: &self.candidates,
            accounting: self.accounting,
            budgets: &self.budgets,
            rules: &self.rules,
        };
        Search {
            constraints,
            indicators: &self.indicators,
            alpha: 2.0,
            rising: RisingIndicators::with(self.accounting),
        }
    }

    pub fn found(&self) -> Result<Found, SearchError> {
        let solver = registry::build::<dyn Solver>("brute_force", &toml::Table::new()).unwrap();
        self.search().run(Named::new("brute_force", solver.as_ref()))
    }

    pub fn refused(&self) -> String {
        self.found().unwrap_err().to_string()
    }

    /// The least objective over every policy that `keeps` accepts, without the program's own problem.
    pub fn best(&self, keeps: impl Fn(&[Precision]) -> bool) -> f64 {
        let layers = self.graph.searchable();
        let pairs: Vec<Precision> = self.candidates.pairs().collect();
        let mut best = f64::INFINITY;
        let mut bits = vec![pairs[0]; layers.len()];
        for mut number in 0..pairs.len().pow(layers.len() as u32) {
            for bits in &mut bits {
                *bits = pairs[number % pairs.len()];
                number /= pairs.len();
            }
            if keeps(&bits) {
                let loss = layers.iter().zip(&bits).map(|(layer, bits)| {
                    let of = &self.indicators.layers[&layer.name];
                    of.act[&bits.act] + 2.0 * of.weight[&bits.weight]
                });
                best = best.min(loss.sum());
            }
        }
        best
    }

    pub fn table(&self, name: &str) -> CostTable {
        let cost = registry::build::<dyn CostModel>(name, &toml::Table::new()).unwrap();
        CostTable::new(name, cost.as_ref(), &self.graph, self.candidates.pairs(), self.accounting)
    }

    fn place(&self, layer: &str) -> usize {
        self.graph.searchable().iter().position(|other| other.name == layer).unwrap()
    }
}

pub fn assert_best(case: &Case, keeps: impl Fn(&[Precision]) -> bool) -> Vec<Precision> {
    let found = case.found().unwrap();
    let bits = found.policy.precisions(&case.graph).unwrap();
    assert!(keeps(&bits), "{bits:?}");
    let best = case.best(keeps);
    assert!((found.objective - best).abs() < 1e-12, "found {}, best {best}", found.objective);
    bits
}

#[test]
fn pins_and_sets_hold_and_cost_no_more_than_they_must() {
    let case = case(&["bitops=w2a4"], &["layer1.0.conv1=w4", "layer3.*=a4"], &[]);
    let bitops = case.table("bitops");
    let limit = bitops.uniform("w2a4".parse().unwrap()).unwrap();
    let pinned = case.place("layer1.0.conv1");
    let third: Vec<usize> =
        ["layer3.0.conv1", "layer3.0.conv2", "layer3.0.downsample.0"].map(|layer| case.place(layer)).to_vec();
    assert_best(&case, |bits| {
        bitops.total(bits.iter().copied()).unwrap() <= limit
            && bits[pinned].weight.get() == 4
            && third.iter().all(|&layer| bits[layer].act.get() == 4)
    });
}

#[test]
fn a_layer_can_be_held_at_bits_that_are_no_candidates() {
    let case = case(&["bitops=w4a4"], &["layer1.0.conv1=w8a8"], &[]);
    let found = case.found().unwrap();
    let bits = found.policy.precisions(&case.graph).unwrap();
    assert_eq!(bits[case.place("layer1.0.conv1")].to_string(), "w8a8");
    assert!(found.budgets[0].used <= found.budgets[0].limit.unwrap());
    assert_eq!(found.rules, ["layer1.0.conv1=w8a8"]);
}

#[test]
fn a_pin_holds_for_all_that_share_with_the_layer() {
    let case = case(&["bitops=w4a4"], &["layer2.0.conv2=w8"], &["@residual"]);
    let bits = case.found().unwrap().policy.precisions(&case.graph).unwrap();
    assert_eq!(bits[case.place("layer2.0.downsample.0")].weight.get(), 8);
    assert!(bits[case.place("layer3.0.conv2")].weight.get() <= 4);
}

#[test]
fn layers_share_what_they_are_told_to() {
    for (share, weight, act) in
        [("@residual", true, true), ("weights:@residual", true, false), ("acts:@inputs", false, true)]
    {
        let case = case(&["bitops=w3a3", "size=10x"], &[], &[share]);
        let (bitops, size) = (case.table("bitops"), case.table("size"));
        let limits = case.search().constraints.state().unwrap().limits;
        // conv2 and the downsampling convolution are summed; the latter reads what conv1 reads.
        let other = if share.ends_with("residual") { "conv2" } else { "conv1" };
        let pairs = [2, 3].map(|stage| {
            [case.place(&format!("layer{stage}.0.{other}")), case.place(&format!("layer{stage}.0.downsample.0"))]
        });
        assert_best(&case, |bits| {
            bitops.total(bits.iter().copied()) <= limits[0].most
                && size.total(bits.iter().copied()) <= limits[1].most
                && pairs.iter().all(|&[a, b]| {
                    (!weight || bits[a].weight == bits[b].weight) && (!act || bits[a].act == bits[b].act)
                })
        });
    }
}

/// Two branches of a fork, and a depthwise convolution with the one that reads it.
#[test]
fn the_graph_says_what_belongs_together() {
    use limpq_core::graph::{Builder, Conv, Shape};
    let (mut b, x) = Builder::new("fork", Shape::new(3, 8, 8).unwrap(), 10);
    let stem = b.fixed_conv("stem", x, Conv::new(4, 3));
    let left = b.conv("left", stem, Conv::new(4, 1));
    let left = b.batch_norm("bn", left);
    let right = b.conv("right", stem, Conv::new(4, 3));
    let both = b.concat(&[left, right]);
    let each = b.conv("each", both, Conv::new(8, 3).groups(8));
    let each = b.relu(each);
    let mixed = b.conv("mixed", each, Conv::new(8, 1));
    b.classifier("fc", mixed);
    let graph = b.finish().unwrap();
    let members = |share: &str| {
        let rules = Rules { rules: vec![], shares: vec![share.parse().unwrap()] };
        let classes = rules.classes(&graph).unwrap();
        classes.into_iter().map(|class| (class.weight, class.members)).collect::<Vec<_>>()
    };
    assert_eq!(members("weights:@concat"), [(true, vec![0, 1])]);
    assert_eq!(members("@depthwise"), [(true, vec![2, 3]), (false, vec![2, 3])]);
    assert_eq!(members("acts:@inputs"), [(false, vec![0, 1])]);
}

/// An identity shortcut is the sum before it: all layers that write to the residual stream of a stage share.
#[test]
fn a_residual_stream_is_shared_to_its_end() {
    use limpq_core::graph::Model;
    let graph = |options: &str| {
        let model = registry::build::<dyn Model>("resnet20", &options.parse().unwrap()).unwrap();
        model.graph("3x32x32".parse().unwrap(), 10).unwrap()
    };
    let shared = |graph: &Graph, share: &str| -> Vec<Vec<String>> {
        let rules = Rules { rules: vec![], shares: vec![share.parse().unwrap()] };
        let layers = graph.searchable();
        let names = |members: Vec<usize>| members.into_iter().map(|layer| layers[layer].name.clone()).collect();
        rules.classes(graph).unwrap().into_iter().map(|class| names(class.members)).collect()
    };
    let wanted = [
        &["layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"][..],
        &["layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2", "layer2.2.conv2"],
        &["layer3.0.conv2", "layer3.0.downsample.0", "layer3.1.conv2", "layer3.2.conv2"],
    ];
    assert_eq!(shared(&graph(""), "acts:@residual"), wanted);
    // One block in each stage: nothing is summed with the stem's output but one layer.
    assert_eq!(shared(&graph("blocks = 1"), "weights:@residual"), [&wanted[1][..2], &wanted[2][..2]]);
}

#[test]
fn a_lower_end_is_kept_to_the_unit() {
    let unlimited = case(&["bitops=w4a4"], &[], &[]);
    let size = unlimited.table("size");
    let full = unlimited.found().unwrap();
    assert_eq!(full.policy, Policy::uniform(&unlimited.graph, "w4a4".parse().unwrap()));
    // Few BitOPs, and yet at least the weights that 13x leaves.
    let case = case(&["bitops=w2a4", "size=11x..8x"], &[], &[]);
    let bitops = case.table("bitops");
    let most = bitops.uniform("w2a4".parse().unwrap());
    let limits = case.search().constraints.state().unwrap().limits[1];
    let bits = assert_best(&case, |bits| {
        let stored = size.total(bits.iter().copied());
        bitops.total(bits.iter().copied()) <= most && stored <= limits.most && stored >= limits.least
    });
    assert!(size.total(bits.into_iter()) >= limits.least);
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    let wrong = |rules: &[&str], shares: &[&str]| case(&["bitops=w4a4"], rules, shares).refused();
    let checks = [
        (wrong(&["layer9.*=w2"], &[]), "\"layer9.*=w2\" matches no searchable layer of resnet20; nearest: layer"),
        (
            wrong(&["conv1=w2"], &[]),
            "\"conv1=w2\" matches no searchable layer of resnet20; conv1 keeps its fixed 8 bits",
        ),
        (
            wrong(&["layer1.*=w2", "*conv1=w4a4"], &[]),
            "the rules leave layer \"layer1.0.conv1\" no weight bits: layer1.*=w2 and *conv1=w4a4. Drop or widen one of them",
        ),
        (wrong(&["*=w3,2"], &[]), "has no weight indicator for 3 bits; the file has 4,2"),
        (wrong(&[], &["layer1.0.conv1"]), "the share \"layer1.0.conv1\" joins fewer than two layers of resnet20"),
        (
            wrong(&[], &["weights:@depthwise"]),
            "the share \"weights:@depthwise\" joins fewer than two layers of resnet20",
        ),
        (wrong(&[], &["layer7*"]), "\"layer7*\" matches no searchable layer of resnet20"),
        (
            wrong(&["layer2.0.conv2=w2", "layer2.0.downsample.0=w4"], &["@residual"]),
            "layers layer2.0.conv2, layer2.0.downsample.0 share their weight bits, but the rules on them have no bit-width in \
             common",
        ),
    ];
    for (said, wanted) in checks {
        assert!(said.contains(wanted), "{said}\nwanted: {wanted}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let rule = |text: &str| text.parse::<limpq_core::search::Rule>().unwrap_err().to_string();
    for wrong in ["layer1", "layer1=", "=w3", "layer1=3", "layer1=a", "layer1=b3"] {
        let said = rule(wrong);
        assert!(said.contains("expected LAYERS=BITS") || said.contains("list of candidate"), "{wrong}: {said}");
    }
    assert_eq!(rule("x=w0"), "rule \"x=w0\": bit-width must be 1..=32, got 0");
    assert_eq!(rule("x=w3,3"), "rule \"x=w3,3\": bit-width 3 is given twice among the candidates");
    assert!(rule("a[=w3").contains("is not a pattern of layer names"));
    let share = |text: &str| text.parse::<limpq_core::search::Share>().unwrap_err().to_string();
    for wrong in ["", "acts:", "@all", "biases:@inputs"] {
        assert!(share(wrong).starts_with(&format!("cannot read the share {wrong:?}: expected")), "{wrong}");
    }
    for written in ["layer1.*=w8,4a6", "*=a8", "x=w3"] {
        assert_eq!(written.parse::<limpq_core::search::Rule>().unwrap().to_string(), written);
    }
    for written in ["@residual", "weights:@depthwise", "acts:layer*.conv1"] {
        assert_eq!(written.parse::<limpq_core::search::Share>().unwrap().to_string(), written);
    }
}

#[test]
fn ranges_are_read_with_care() {
    let limits = |text: &str| {
        let case = case(&[text], &[], &[]);
        case.search().constraints.state().map(|stated| stated.limits[0]).map_err(|error| error.to_string())
    };
    let size = case(&[], &[], &[]).table("size");
    let at = |bits: &str| size.uniform(bits.parse().unwrap());
    let range = limits("size=w2a2..w4a4").unwrap();
    assert_eq!((range.least, range.most), (at("w2a2"), at("w4a4")));
    assert_eq!(limits("size=..w4a4").unwrap().least, None);
    assert_eq!(limits("size=w2a2..").unwrap().most, None);
    assert!(limits("size=w4a4..w2a2").unwrap_err().contains("the range \"w4a4..w2a2\" is empty"));
    assert!(limits("size=..").unwrap_err().contains("cannot read limit \"..\""));
    assert!(limits("size=-1MiB..2MiB").unwrap_err().contains("must be a positive number"));
    assert!(limits("size=2..4").unwrap_err().contains("cannot read limit"));
}
