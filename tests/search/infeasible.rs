//! What is said when no policy keeps everything: what each budget needs at least, and which budgets and rules conflict.
//!
//! Weights of the small network, in thousands of bits at 2 bits, fixed layers 8.6 among them: 161.2. At 4 bits a layer adds as
//! much as it has at 2: layer3.0.conv1 36.9, layer3.0.conv2 73.7, layer2.0.conv1 9.2, layer2.0.conv2 18.4,
//! layer3.0.downsample.0 4.1, layer1.0.conv1 4.6. `size=10x` leaves 247.6, `size=9x` 275.1, `size=12x` 206.3.

use crate::constraints::{Case, case};
use crate::fixtures::{self, NETWORK, limpq};
use limpq_core::registry;
use limpq_core::search::{Accounting, BitWidth, Solver};

const TOGETHER: &str = "these conflict, and dropping any one of them resolves the conflict: ";

fn conflict(case: &Case) -> String {
    let refused = case.refused();
    let conflict = refused.lines().last().unwrap().strip_prefix(TOGETHER);
    conflict.and_then(|rest| rest.strip_suffix(". Relax one of them")).unwrap_or_else(|| panic!("{refused}")).to_owned()
}

#[test]
fn a_pin_that_puts_a_budget_out_of_reach_is_named() {
    let case = case(&["bitops=w4a4", "size=9x"], &["layer3.*=w4", "layer2.*=a2"], &[]);
    assert_eq!(
        case.refused(),
        "no policy keeps every budget:\n  \
         bitops=w4a4: asked 0.221290 GBitOPs, least achievable 0.091267 GBitOPs (140.27x) - reachable alone\n  \
         size=9x: asked 0.032789 MiB, least achievable 0.032883 MiB (8.97x) - out of reach under these rules\n\
         these conflict, and dropping any one of them resolves the conflict: size=9x and layer3.*=w4. Relax one of \
         them"
    );
}

#[test]
fn a_budget_that_no_rule_keeps_from_being_met_is_out_of_reach() {
    let case = case(&["bitops=w4a4", "size=40x"], &["layer3.*=w4"], &[]);
    assert_eq!(
        case.refused(),
        "no policy keeps every budget:\n  \
         bitops=w4a4: asked 0.221290 GBitOPs, least achievable 0.091267 GBitOPs (140.27x) - reachable alone\n  \
         size=40x: asked 0.007378 MiB, least achievable 0.032883 MiB (8.97x) - out of reach\n\
         relax the budgets that are out of reach, or add lower candidate bit-widths"
    );
}

#[test]
fn two_budgets_conflict_without_any_rule() {
    let case = case(&["average_weight_bits=4..", "bitops=..w2a2", "size=..w4a4"], &["layer1.*=w4,2"], &[]);
    assert_eq!(conflict(&case), "average_weight_bits=4.. and bitops=..w2a2");
}

/// Activations all at 4 bits and weights of 3 on average take more than the BitOPs of w2a4; any two of them go together.
#[test]
fn three_budgets_conflict_and_the_fourth_is_not_named() {
    let budgets = ["average_act_bits=4..", "average_weight_bits=3..", "bitops=..w2a4", "size=..w4a4"];
    let case = case(&budgets, &["layer1.*=w4,2"], &[]);
    assert_eq!(conflict(&case), "average_act_bits=4.. and average_weight_bits=3.. and bitops=..w2a4");
}

/// 234.9 with layer3.0.conv2 and 198.0 with layer3.0.conv1 are within the size, 271.7 with both is not. Leaving out the
/// first rule first would end at the four of the next test.
#[test]
fn a_smallest_set_is_found_among_larger_ones() {
    let rules = ["layer3.0.conv1=w4", "layer3.0.conv2=w4", "layer2.0.conv1=w4", "layer3.0.downsample.0=w4"];
    let case = case(&["bitops=w4a4", "size=10x"], &rules, &[]);
    assert_eq!(conflict(&case), "size=10x and layer3.0.conv1=w4 and layer3.0.conv2=w4");
}

/// 234.9 + 9.2 + 4.1 = 248.2, a little too much; without any of the three it fits.
#[test]
fn a_set_of_four_has_nothing_needless() {
    let rules = ["layer1.0.conv1=a2", "layer3.0.conv2=w4", "layer2.0.conv1=w4", "layer3.0.downsample.0=w4"];
    let case = case(&["bitops=w4a4", "size=10x"], &rules, &[]);
    let wanted = "size=10x and layer3.0.conv2=w4 and layer2.0.conv1=w4 and layer3.0.downsample.0=w4";
    assert_eq!(conflict(&case), wanted);
}

/// layer2.0.conv2 and the downsampling convolution are summed, and 4 bits for the one are 4 bits for the other.
#[test]
fn a_share_can_be_part_of_it() {
    let size = "size=..180200bits";
    let case = case(&["bitops=w4a4", size], &["layer2.0.conv2=w4"], &["acts:@inputs", "@residual"]);
    assert_eq!(conflict(&case), "size=..180200bits and layer2.0.conv2=w4 and sharing @residual");
}

/// By LIMPQ's rule a bit-width whose indicator is below that of the next higher one may not be chosen: layer3.0.conv2 is left
/// with 4 bits, as if it were pinned.
fn forbidding(size: &str) -> Case {
    let mut case = case(&["bitops=w4a4", size], &["layer3.0.conv1=w4", "layer2.*=a2"], &[]);
    case.accounting = Accounting::Limpq;
    let weight = &mut case.indicators.layers.get_mut("layer3.0.conv2").unwrap().weight;
    weight.insert(BitWidth::new(2).unwrap(), 0.0);
    case
}

#[test]
fn bits_that_rising_indicators_forbid_count() {
    assert_eq!(conflict(&forbidding("size=10x")), "size=10x and layer3.0.conv1=w4");
    let refused = forbidding("size=10x").refused();
    assert!(refused.contains("\nrising_indicators = \"forbid\" leaves bit-widths out in 1 layer\n"), "{refused}");
    let refused = forbidding("size=12x").refused();
    assert!(
        refused.ends_with("relax the budgets that are out of reach, or add lower candidate bit-widths"),
        "{refused}"
    );
    let mut exact = forbidding("size=10x");
    exact.accounting = Accounting::Exact;
    exact.found().unwrap();
}

#[test]
fn it_is_said_before_there_are_indicators() {
    let solver = registry::build::<dyn Solver>("exact", &toml::Table::new()).unwrap();
    let ask = |case: &Case| case.search().constraints.preflight(solver.as_ref()).map_err(|error| error.to_string());
    let pinned = case(&["bitops=w4a4", "size=10x"], &["layer3.*=w4"], &[]);
    assert_eq!(ask(&pinned).unwrap_err(), pinned.refused());
    let two = case(&["average_weight_bits=4..", "bitops=..w2a2"], &[], &[]);
    assert_eq!(ask(&two).unwrap_err(), two.refused());
    ask(&case(&["bitops=w4a4", "size=10x"], &[], &[])).unwrap();
}

#[test]
fn the_program_prints_it_and_no_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), &fixtures::indicators(&[4, 2]));
    let before = fixtures::listing(folder.path());
    let arguments = ["--budget", "size=9x", "--budget", "bitops=w4a4", "--layer", "layer3.*=w4"];
    let wanted = case(&["size=9x", "bitops=w4a4"], &["layer3.*=w4"], &[]).refused();
    for json in [&[][..], &["--json"]] {
        let mut command = limpq();
        command.arg("search").args(NETWORK).arg("--indicators").arg(&path).args(arguments).args(json);
        let out = folder.path().join("policy.json");
        command.arg("--out").arg(out).assert().code(1).stdout("").stderr(format!("error: {wanted}\n"));
    }
    assert_eq!(fixtures::listing(folder.path()), before);
}
