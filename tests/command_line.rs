//! The command line as its users see it: what every command prints, and what it says when something is wrong.

use crate::fixtures::{self, NETWORK, limpq};
use assert_cmd::Command;
use assert_cmd::assert::Assert;
use limpq_core::search::{BitWidth, Indicators, LayerIndicators};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

/// `limpq search` on a file for the small network.
fn search(indicators: &Path) -> Command {
    let mut command = limpq();
    command.arg("search").args(NETWORK).arg("--indicators").arg(indicators);
    command
}

/// A search that every solver can do.
fn easy(indicators: &Path) -> Command {
    let mut command = search(indicators);
    command.args(["--bits", "4,2", "--budget", "bitops=w3a4", "--budget", "size=9x"]);
    command
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

/// A folder with made-up indicators for 6,5,4,3,2 bits.
fn with_indicators() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), &fixtures::indicators(&[6, 5, 4, 3, 2]));
    (folder, path)
}

/// Searches with a changed file, writing a policy next to it; it must fail with these words and write nothing.
fn refused(name: &str, content: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write(folder.path(), name, content);
    let before = fixtures::listing(folder.path());
    let mut assert = easy(&path).arg("--out").arg(folder.path().join("policy.json")).assert().code(1).stdout("");
    for word in words {
        assert = assert.stderr(contains(*word));
    }
    assert.stderr(predicate::str::starts_with("error: ").and(contains("panicked").not()));
    assert_eq!(fixtures::listing(folder.path()), before);
}

fn refused_json(change: impl FnOnce(&mut Indicators), words: &[&str]) {
    let mut indicators = fixtures::indicators(&[6, 5, 4, 3, 2]);
    change(&mut indicators);
    refused("indicators.json", &serde_json::to_vec(&indicators).unwrap(), words);
}

fn bits(bits: u64) -> BitWidth {
    BitWidth::new(bits).unwrap()
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

    #[test]
    fn an_unknown_kind_names_the_kinds_and_the_nearest() {
        let known = contains("quantizer, model, cost, solver, sensitivity, dataset");
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
    fn a_closed_pipe_is_no_failure() {
        for arguments in [&["list"][..], &["profile", "resnet50"], &["profile", "resnet50", "--json"]] {
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
        let binary = assert_cmd::cargo::cargo_bin!("limpq");
        let output = std::process::Command::new(binary).arg("list").stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: cannot write to standard output: "), "{stderr}");
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

mod refuses_arguments {
    use super::*;

    /// Arguments after `limpq search` on the small network; they must fail with these words and write nothing.
    fn refused(arguments: &[&str], words: &[&str]) {
        let (folder, path) = with_indicators();
        let before = fixtures::listing(folder.path());
        let out = folder.path().join("policy.json");
        let mut assert = search(&path).arg("--out").arg(out).args(arguments).assert().failure().stdout("");
        for word in words {
            assert = assert.stderr(contains(*word));
        }
        assert.stderr(contains("panicked").not());
        assert_eq!(fixtures::listing(folder.path()), before);
    }

    #[test]
    fn infeasible_says_what_was_asked_and_the_least() {
        for json in [&[][..], &["--json"]] {
            let arguments = [&["--budget", "size=40x", "--budget", "bitops=w3a4"], json].concat();
            refused(&arguments, &["size=40x: asked", "least achievable", "out of reach", "bitops=w3a4: asked"]);
        }
    }

    #[test]
    fn no_budget() {
        refused(&[], &["no budget is given", "always the highest bits", "--budget bitops=w3a4"]);
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        refused(&["--budget", "bitop=w3a4"], &["no cost is called \"bitop\" (did you mean \"bitops\"?)"]);
        let solver = ["--budget", "size=9x", "--solver", "brute_fource"];
        refused(&solver, &["no solver is called \"brute_fource\" (did you mean \"brute_force\"?)"]);
        let model = ["search", "--model", "resnet51", "--indicators", "any.json", "--budget", "size=9x"];
        let words = contains("no model is called \"resnet51\" (did you mean \"resnet50\"?)");
        limpq().args(model).assert().code(1).stderr(words);
    }

    #[test]
    fn wrong_limits() {
        refused(&["--budget", "size=-3MiB"], &["budget size: the limit must be a positive number, got \"-3MiB\""]);
        refused(&["--budget", "bitops=-5"], &["positive number"]);
        refused(&["--budget", "bitops=0"], &["positive number"]);
        refused(&["--budget", "bitops=nan"], &["positive number"]);
        refused(&["--budget", "size=8parsec"], &["cannot read limit \"8parsec\"", "8MiB", "12.2x"]);
        refused(&["--budget", "size=8"], &["cannot read limit \"8\"", "8MiB"]);
        refused(&["--budget", "size"], &["expected NAME=LIMIT"]);
    }

    #[test]
    fn wrong_bits() {
        let with = |bits| ["--budget", "size=9x", "--bits", bits];
        refused(&with("8,4,2"), &["has no weight indicator for 8 bits; the file has 6,5,4,3,2"]);
        refused(&with("0,4"), &["bit-width must be 1..=32, got 0"]);
        refused(&with("4,4"), &["stands twice"]);
        refused(&with("four"), &["expected a whole number"]);
        refused(&with(""), &["the list of candidate bit-widths is empty"]);
    }

    #[test]
    fn wrong_alpha() {
        for alpha in ["0", "-1", "nan", "inf"] {
            refused(&["--budget", "size=9x", "--alpha", alpha], &["alpha must be a positive number"]);
        }
    }

    #[test]
    fn wrong_settings() {
        let with = |set| ["--budget", "size=9x", "--set", set];
        refused(&with("solvr.gap=1"), &["unknown key \"solvr\" (did you mean \"solver\"?)"]);
        refused(&with("model.widht=8"), &["widht", "`width`"]);
        refused(&with("model.width=wide"), &["model \"resnet20\": width: invalid type"]);
        refused(&with("cost.bitops.of=weights"), &["a cost that no --budget is on", "unknown key \"bitops\""]);
        refused(&with("solver=highs"), &["solver.OPTION"]);
    }

    #[test]
    fn another_extension() {
        let (folder, path) = with_indicators();
        let words = || contains("must end in .json").and(contains(".yaml"));
        for name in ["policy.txt", "policy"] {
            easy(&path).arg("--out").arg(folder.path().join(name)).assert().code(1).stderr(words());
        }
        assert_eq!(fixtures::listing(folder.path()).len(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_to() {
        let (folder, path) = with_indicators();
        let before = fixtures::listing(folder.path());
        let mut places = vec![path.join("policy.json")];
        if Path::new("/dev/full").exists() {
            places.push("/dev/full/x.json".into());
        }
        for place in places {
            let words =
                contains(format!("cannot write {}", place.display())).and(contains("Nothing there was changed"));
            easy(&path).arg("--out").arg(place).assert().code(1).stdout("").stderr(words);
        }
        assert_eq!(fixtures::listing(folder.path()), before);
    }
}

mod refuses_files {
    use super::*;

    #[test]
    fn missing() {
        let path = Path::new("no/such/indicators.json");
        easy(path).assert().code(1).stderr(contains("cannot read the indicators no/such/indicators.json"));
    }

    #[test]
    fn empty() {
        refused("indicators.json", b"", &["indicators.json is not an indicator file: it is empty"]);
        refused_json(|indicators| indicators.layers.clear(), &["the indicators are empty"]);
        let mut none = fixtures::indicators(&[4, 2]);
        none.layers.values_mut().for_each(|layer| *layer = LayerIndicators::default());
        refused("indicators.json", &serde_json::to_vec(&none).unwrap(), &["the file has none"]);
    }

    #[test]
    fn not_indicators() {
        refused("indicators.json", b"{\"schema\": 1}", &["as JSON: missing field"]);
        refused("indicators.json", b"{\"schema\": 1,", &["as JSON"]);
        refused("indicators.json", b"hello", &["is not an indicator file"]);
        refused("indicators.json", &[0xff; 64], &["is not an indicator file"]);
    }

    #[test]
    fn not_a_number() {
        for value in [f64::NAN, f64::INFINITY, -0.5] {
            let mut indicators = fixtures::indicators(&[6, 5, 4, 3, 2]);
            indicators.layers.get_mut("layer1.0.conv2").unwrap().act.insert(bits(4), value);
            let words = ["layer \"layer1.0.conv2\" has the act indicator", "at 4 bits", "lower its learning rate"];
            refused("indicators.pkl", &fixtures::pickle(&indicators), &words);
        }
        // JSON has no NaN: serde_json writes null.
        let change = |indicators: &mut Indicators| {
            indicators.layers.get_mut("layer1.0.conv2").unwrap().act.insert(bits(4), f64::NAN);
        };
        refused_json(change, &["as JSON", "null"]);
    }

    #[test]
    fn truncated_pickle() {
        let whole = fixtures::pickle(&fixtures::indicators(&[6, 5, 4, 3, 2]));
        for length in [1, 2, 100, whole.len() / 2, whole.len() - 1] {
            refused("indicators.pkl", &whole[..length], &["as a pickle"]);
        }
    }

    #[test]
    fn pickle_that_runs_code() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("ran");
        let command = format!("touch {}", mark.display());
        // What `pickle.dumps` makes of an object whose __reduce__ is (os.system, (command,)).
        let oldest = format!("cos\nsystem\n(S'{command}'\ntR.").into_bytes();
        let length = u8::try_from(command.len()).unwrap();
        let newest =
            [b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c", &[length][..], command.as_bytes(), b"\x85R."].concat();
        for pickle in [oldest, newest] {
            refused("indicators.pkl", &pickle, &["as a pickle", "refused"]);
        }
        assert!(!mark.exists());
    }

    #[test]
    fn a_layer_missing_or_left_over() {
        let missing = |indicators: &mut Indicators| drop(indicators.layers.remove("layer2.0.conv1"));
        refused_json(missing, &["do not fit resnet20", "1 missing from the file (layer2.0.conv1)"]);
        let left_over = |indicators: &mut Indicators| {
            let layer = indicators.layers["layer1.0.conv1"].clone();
            indicators.layers.insert("layer9.0.conv1".into(), layer);
        };
        refused_json(left_over, &["do not fit resnet20", "1 not in the model (layer9.0.conv1)"]);
        let renamed = |indicators: &mut Indicators| {
            let layer = indicators.layers.remove("layer2.0.conv1").unwrap();
            indicators.layers.insert("layer2.0.convl".into(), layer);
        };
        refused_json(renamed, &["layer2.0.convl", "nearest: layer2.0.conv1"]);
    }

    #[test]
    fn for_another_model() {
        let change = |indicators: &mut Indicators| indicators.model = Some("resnet18".into());
        refused_json(change, &["made for resnet18, not for resnet20", "--model resnet18"]);
    }

    #[test]
    fn of_another_schema() {
        refused_json(|indicators| indicators.schema = 99, &["schema version 99", "reads version 1"]);
    }
}
