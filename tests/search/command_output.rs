//! The output of every command. `command_refusals.rs` has the errors.

use crate::fixtures::{self, NETWORK, limpq};
use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

/// `limpq search` on a file for the small network.
pub fn search(indicators: &Path) -> Command {
    let mut command = limpq();
    command.arg("search").args(NETWORK).arg("--indicators").arg(indicators);
    command
}

/// A search that every solver can do.
pub fn easy(indicators: &Path) -> Command {
    let mut command = search(indicators);
    command.args(["--bits", "4,2", "--budget", "bitops=w3a4", "--budget", "size=9x"]);
    command
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

/// A folder with made-up indicators for 6,5,4,3,2 bits.
pub fn with_indicators() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), &fixtures::indicators(&[6, 5, 4, 3, 2]));
    (folder, path)
}

/// Limits that no clock and no memory can reach are no limits.
#[test]
fn limits_may_be_as_large_as_they_like() {
    let (_folder, path) = with_indicators();
    for set in ["solver.time_limit_s=1e300", "solver.node_limit=9223372036854775807"] {
        easy(&path).args(["--set", set]).assert().success().stdout(contains("proven optimal by exact"));
    }
}

mod list_and_show {
    use super::*;

    #[test]
    fn lists_every_kind() {
        let mut assert = limpq().arg("list").assert().success();
        for word in ["model", "resnet50", "cost", "bitops", "average_weight_bits", "solver", "brute_force"] {
            assert = assert.stdout(contains(word));
        }
    }

    #[test]
    fn lists_one_kind() {
        limpq().args(["list", "cost"]).assert().success().stdout(contains("bitops").and(contains("resnet50").not()));
    }

    /// Those of what trains are not there without it.
    const KINDS: &str = if cfg!(feature = "train") {
        "quantizer, model, operator, cost, solver, sensitivity, dataset"
    } else {
        "model, operator, cost, solver"
    };

    #[test]
    fn an_unknown_kind_names_the_kinds_and_the_nearest() {
        let known = contains(KINDS);
        limpq().args(["list", "modl"]).assert().code(2).stderr(known.and(contains("'model'")));
    }

    #[test]
    fn shows_options_with_defaults_and_the_source() {
        let words = ["plugins/models/resnet20.rs", "| width", "| 16", "Blocks in each of the three stages"];
        let mut assert = limpq().args(["show", "model", "resnet20"]).assert().success();
        for word in words {
            assert = assert.stdout(contains(word));
        }
    }

    /// It said "options: none" of a plugin whose options are another struct's.
    #[cfg(feature = "train")]
    #[test]
    fn shows_the_options_of_a_wrapped_struct() {
        let words = ["| gradients", "| \"tied\"", "| seeds", "Whether only step sizes are trained"];
        let mut assert = limpq().args(["show", "sensitivity", "learned_step"]).assert().success();
        for word in words {
            assert = assert.stdout(contains(word));
        }
        for sensitivity in ["learned_step", "reversed"] {
            limpq()
                .args(["show", "sensitivity", sensitivity])
                .assert()
                .success()
                .stdout(contains("options: none").not());
        }
    }

    #[test]
    fn shows_what_an_alias_stands_for() {
        let alias = contains("average_act_bits is average_bits with of = \"activations\"");
        limpq().args(["show", "cost", "average_act_bits"]).assert().success().stdout(alias);
    }

    #[test]
    fn an_unknown_name_names_the_nearest() {
        limpq().args(["show", "model", "resnet19"]).assert().code(1).stderr(contains("did you mean \"resnet18\"?"));
    }

    #[test]
    fn the_version_says_how_the_program_was_built() {
        let said = limpq().arg("--version").assert().success().get_output().stdout.clone();
        let said = String::from_utf8(said).unwrap();
        let line = |name: &str| said.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        assert!(said.starts_with("limpq 0."), "{said}");
        assert!(line("compiler:").is_some_and(|rustc| rustc.starts_with("rustc 1.")), "{said}");
        assert_eq!(line("burn:").as_deref(), Some("0.22.1"));
        let commit = line("commit:").unwrap();
        let hash = commit.trim_end_matches(", and changes since");
        assert!(hash == "unknown" || hash.len() == 40 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
        let features = line("features:").unwrap();
        assert_eq!(features.split(", ").any(|feature| feature == "train"), cfg!(feature = "train"), "{features}");
        limpq().arg("-V").assert().success().stdout("limpq 0.1.0\n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        for arguments in [&["list"][..], &["--help"], &["--version"], &["profile", "resnet50", "--json"]] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let binary = assert_cmd::cargo::cargo_bin!("limpq");
            let output = std::process::Command::new(binary).args(arguments).stdout(writer).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }

    #[test]
    fn a_full_disk_behind_stdout_is_a_failure() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        // Help and the version too, of which clap does not say so (as uutils/coreutils#10854).
        for arguments in [&["list"][..], &["--help"], &["-h"], &["--version"], &["help", "show"], &["search", "--help"]]
        {
            let binary = assert_cmd::cargo::cargo_bin!("limpq");
            let full = full.try_clone().unwrap();
            let output = std::process::Command::new(binary).args(arguments).stdout(full).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.starts_with("error: cannot write to standard output: "), "{stderr}");
        }
    }

    #[test]
    fn nobody_reads_what_goes_wrong() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        for (arguments, code) in [(&["show", "model", "resnet19"][..], 1), (&["serch"], 2)] {
            let binary = assert_cmd::cargo::cargo_bin!("limpq");
            let full = full.try_clone().unwrap();
            let status = std::process::Command::new(binary).args(arguments).stderr(full).status().unwrap();
            assert_eq!(status.code(), Some(code), "{arguments:?}");
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for arguments in [&[][..], &["serch"], &["profile"], &["profile", "resnet18", "--accounting", "paper"]] {
            limpq().args(arguments).assert().code(2);
        }
    }
}

mod profile {
    use super::*;

    #[test]
    fn counts_resnet50() {
        let report = json(limpq().args(["profile", "resnet50", "--json"]).assert());
        assert_eq!(report["model"], "resnet50");
        assert_eq!((&report["input"], &report["accounting"]), (&"3x224x224".into(), &"exact".into()));
        assert_eq!(report["classes"], 1000);
        let stem = &report["layers"][0];
        assert_eq!((&stem["name"], &stem["kind"]), (&"conv1".into(), &"conv".into()));
        assert_eq!((&stem["in_shape"], &stem["out_shape"]), (&"3x224x224".into(), &"64x112x112".into()));
        assert_eq!(stem["searchable"], false);
        let totals = &report["totals"];
        assert_eq!((&totals["layers"], &totals["searchable"]), (&54.into(), &52.into()));
        assert_eq!(totals["weights"], 25_502_912);
        // 1000 biases and four numbers for each of the 26560 channels of batch norms.
        assert_eq!((&totals["biases"], &totals["batch_norm_numbers"]), (&1000.into(), &(4 * 26_560).into()));
        assert_eq!(totals["step_sizes"], 2 * 54);
        assert_eq!(totals["costs"][1]["name"], "size");
        assert_eq!(totals["costs"][1]["w32a32"].as_f64().unwrap(), 25_502_912.0 * 4.0 / f64::from(1 << 20));
    }

    #[test]
    fn names_its_accounting() {
        for accounting in ["exact", "limpq"] {
            let words = contains(format!("accounting: {accounting}")).and(contains("layer1.0.conv1"));
            limpq().args(["profile", "resnet18", "--accounting", accounting]).assert().success().stdout(words);
        }
    }

    #[test]
    fn takes_options_of_the_model() {
        for key in ["blocks", "model.blocks"] {
            let set = format!("{key}=1");
            let arguments = ["profile", "resnet20", "--input", "1x8x8", "--classes", "10", "--json", "--set", &set];
            assert_eq!(json(limpq().args(arguments).assert())["totals"]["searchable"], 8);
        }
        limpq().args(["profile", "resnet20", "--set", "depth=1"]).assert().code(1).stderr(contains("depth"));
        limpq().args(["profile", "resnet20", "--set", "width"]).assert().code(1).stderr(contains("expected KEY=VALUE"));
    }

    #[test]
    fn refuses_wrong_inputs() {
        for input in ["224", "3x0x8", "3x99999999999x8", "-3x8x8"] {
            limpq().args(["profile", "resnet18", &format!("--input={input}")]).assert().code(2);
        }
        limpq().args(["profile", "resnet18", "--classes", "0"]).assert().code(2);
        limpq().args(["profile", "resnet19"]).assert().code(1).stderr(contains("did you mean \"resnet18\"?"));
    }
}

mod found {
    use super::*;

    #[test]
    fn prints_policy_budgets_neighbours_and_proof() {
        let (_folder, path) = with_indicators();
        let mut assert = easy(&path).assert().success();
        for word in [
            "layer3.0.downsample.0",
            "bitops=w3a4",
            "binding",
            "w2a2",
            "fits",
            "proven optimal by",
            "accounting: exact",
        ] {
            assert = assert.stdout(contains(word));
        }
    }

    /// 16 channels of 32x32 in and out, 3x3: 2304 weights, 2359296 multiply-accumulates. At w4a4 that is 37748736 bit
    /// operations, 9216 bits of 8388608 in a MiB, and 9216/76288 of the mean of the weights' bits. A peak has no
    /// column.
    #[test]
    fn each_layer_s_costs_stand_next_to_its_bits() {
        let (_folder, path) = with_indicators();
        let budgets = ["bitops=w3a4", "total_memory=60kB", "size=9x", "average_weight_bits=3", "size=15x.."];
        let mut command = search(&path);
        command.args(["--bits", "4,2", "--layer", "layer1.0.conv1=w4a4"]);
        command.args(budgets.iter().flat_map(|budget| ["--budget", budget]));
        let output = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
        let cells = |start: &str| -> Vec<String> {
            let line = output.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{output}"));
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let headings = cells("| layer ");
        let costs = ["bitops (GBitOPs)", "size (MiB)", "average_weight_bits (bits)"];
        assert_eq!(headings[..5], ["layer", "w bits", "a bits", "MACs", "weights"]);
        assert_eq!(
            (&headings[5..8], &headings[8..]),
            (&costs.map(str::to_owned)[..], &["indicator loss".to_owned()][..])
        );
        let wanted = ["layer1.0.conv1", "4", "4", "2359296", "2304", "0.037749", "0.0010986", "0.12081"];
        assert_eq!(cells("| layer1.0.conv1 ")[..8], wanted);
    }

    #[test]
    fn a_dry_run_prints_the_constraints_and_solves_nothing() {
        let (_folder, path) = with_indicators();
        let mut command = search(&path);
        command.args(["--bits", "4,2", "--layer", "layer1.*=w6,4a6", "--share", "@residual", "--dry-run"]);
        command.args(["--budget", "bitops=w2a2..w4a4", "--budget", "size=9x"]);
        let wanted = "\
| layer                 | w bits | a bits | chosen together with  | options |
|-----------------------|--------|--------|-----------------------|---------|
| layer1.0.conv1        | 6,4    | 6      |                       |       2 |
| layer1.0.conv2        | 6,4    | 6      |                       |       2 |
| layer2.0.conv1        | 4,2    | 4,2    |                       |       4 |
| layer2.0.conv2        | 4,2    | 4,2    | layer2.0.downsample.0 |       4 |
| layer2.0.downsample.0 | 4,2    | 4,2    | layer2.0.conv2        |       4 |
| layer3.0.conv1        | 4,2    | 4,2    |                       |       4 |
| layer3.0.conv2        | 4,2    | 4,2    | layer3.0.downsample.0 |       4 |
| layer3.0.downsample.0 | 4,2    | 4,2    | layer3.0.conv2        |       4 |

| budget            | at least |  at most | unit    |
|-------------------|----------|----------|---------|
| bitops=w2a2..w4a4 | 0.076587 |  0.22129 | GBitOPs |
| size=9x           |          | 0.032789 | MiB     |

accounting: exact
";
        command.assert().success().stdout(wanted);
    }

    #[test]
    fn json_has_everything_to_judge_it() {
        let (_folder, path) = with_indicators();
        let found = json(easy(&path).arg("--json").assert());
        let layers: Vec<_> = found["policy"].as_array().unwrap().iter().map(|l| l["layer"].clone()).collect();
        assert_eq!(layers, fixtures::graph().searchable().into_iter().map(|l| l.name).collect::<Vec<_>>());
        assert!(found["policy"][0]["weight_bits"].is_u64() && found["policy"][0]["act_bits"].is_u64());
        assert!(found["objective"].is_f64());
        assert_eq!((&found["proof"]["status"], &found["proof"]["gap"]), (&"optimal".into(), &0.0.into()));
        assert!(found["proof"]["bound"].is_f64() && found["proof"]["seconds"].is_f64());
        for budget in found["budgets"].as_array().unwrap() {
            assert!(budget["used"].as_f64().unwrap() <= budget["limit"].as_f64().unwrap());
            assert!(budget["name"].is_string() && budget["unit"].is_string() && budget["binding"].is_boolean());
        }
        assert_eq!((&found["accounting"], &found["alpha"]), (&"exact".into(), &2.0.into()));
        assert!(found["solver"].is_string());
    }

    #[test]
    fn a_pickle_gives_the_same_policy_as_json() {
        let (folder, path) = with_indicators();
        let pickle =
            fixtures::write(folder.path(), "same.pkl", &fixtures::pickle(&fixtures::indicators(&[6, 5, 4, 3, 2])));
        let [one, other] = [path, pickle].map(|path| json(easy(&path).arg("--json").assert()));
        assert_eq!((&one["policy"], &one["objective"]), (&other["policy"], &other["objective"]));
    }

    #[test]
    fn writes_json_and_limpq_s_yaml() {
        let (folder, path) = with_indicators();
        let [as_json, as_yaml] = ["new/policy.json", "policy.yml"].map(|name| folder.path().join(name));
        let printed = json(easy(&path).arg("--json").arg("--out").arg(&as_json).arg("--out").arg(&as_yaml).assert());
        let written: Value = serde_json::from_slice(&std::fs::read(as_json).unwrap()).unwrap();
        assert_eq!(written, printed);
        let yaml = std::fs::read_to_string(as_yaml).unwrap();
        let list = |key: &str| -> Vec<String> {
            let line = yaml.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect()
        };
        for (key, field) in [("weight_bits: ", "weight_bits"), ("act_bits: ", "act_bits")] {
            let wanted: Vec<_> = printed["policy"].as_array().unwrap().iter().map(|l| l[field].to_string()).collect();
            assert_eq!(list(key), wanted);
        }
    }

    /// The file that a link leads to is what is meant.
    #[cfg(unix)]
    #[test]
    fn writes_through_links() {
        let (folder, path) = with_indicators();
        for name in ["policy.json", "policy.yaml", "policy.csv"] {
            let (link, target) = (folder.path().join(name), folder.path().join(format!("target-{name}")));
            std::fs::write(&target, "old").unwrap();
            std::os::unix::fs::symlink(&target, &link).unwrap();
            easy(&path).arg("--out").arg(&link).assert().success();
            assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
            assert!(std::fs::read_to_string(&target).unwrap().contains("bits"), "{name}");
        }
    }

    #[test]
    fn the_order_of_candidates_does_not_matter() {
        let (_folder, path) = with_indicators();
        let with = |bits| json(search(&path).args(["--bits", bits, "--budget", "size=9x", "--json"]).assert());
        let [ascending, descending] = ["2,4", "4,2"].map(with);
        assert_eq!(ascending["policy"], descending["policy"]);
        assert_eq!(ascending["candidates"], descending["candidates"]);
    }

    #[test]
    fn candidates_may_have_holes() {
        let folder = tempfile::tempdir().unwrap();
        let path = fixtures::write_json(folder.path(), &fixtures::indicators(&[2, 4, 8]));
        let found = json(search(&path).args(["--bits", "2,4,8", "--budget", "bitops=w4a4", "--json"]).assert());
        assert_eq!(found["candidates"], serde_json::json!([8, 4, 2]));
        let by_default = json(search(&path).args(["--budget", "bitops=w4a4", "--json"]).assert());
        assert_eq!(found["policy"], by_default["policy"]);
    }

    #[test]
    #[cfg(all(feature = "highs", feature = "cbc"))]
    fn solvers_agree() {
        let (_folder, path) = with_indicators();
        let objective = |solver| {
            let arguments = ["--solver", solver, "--json"];
            json(easy(&path).args(arguments).assert())["objective"].as_f64().unwrap()
        };
        let brute_force = objective("brute_force");
        for solver in ["exact", "highs", "cbc"] {
            assert!((objective(solver) - brute_force).abs() < 1e-9, "{solver}");
        }
    }

    #[test]
    fn options_of_a_cost_can_be_set() {
        let (_folder, path) = with_indicators();
        let bits = |extra: &[&str]| json(search(&path).args(["--bits", "4,2", "--json"]).args(extra).assert());
        let set = bits(&["--budget", "average_bits=3", "--set", "cost.average_bits.of=activations"]);
        let alias = bits(&["--budget", "average_act_bits=3"]);
        assert_eq!(set["policy"], alias["policy"]);
    }
}
