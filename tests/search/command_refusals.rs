//! What `limpq search` says of arguments and files that it cannot use. `error_texts.rs` has the whole texts of
//! the commonest faults.

use crate::command_output::{easy, search, with_indicators};
use crate::fixtures::{self, limpq};
use limpq_core::search::{Indicators, LayerIndicators};
use predicates::prelude::*;
use predicates::str::contains;
use std::path::Path;

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

mod arguments {
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
        refused(&["--budget", "bitops=0"], &["positive number"]);
        refused(&["--budget", "size=8"], &["cannot read limit \"8\"", "8MiB"]);
        refused(&["--budget", "size"], &["expected NAME=LIMIT"]);
    }

    #[test]
    fn wrong_bits() {
        let with = |bits| ["--budget", "size=9x", "--bits", bits];
        refused(&with("8,4,2"), &["has no weight indicator for 8 bits; the file has 6,5,4,3,2"]);
        refused(&with("0,4"), &["bit-width must be 1..=32, got 0"]);
        refused(&with("4,4"), &["is given twice"]);
        refused(&with("four"), &["expected a whole number"]);
        refused(&with(""), &["the list of candidate bit-widths is empty"]);
    }

    #[test]
    fn wrong_alpha() {
        for alpha in ["-1", "-0.001", "nan", "inf"] {
            refused(&["--budget", "size=9x", "--alpha", alpha], &["alpha must be 0 or a positive number"]);
        }
    }

    #[test]
    fn wrong_settings() {
        fn with(set: &str) -> [&str; 4] {
            ["--budget", "size=9x", "--set", set]
        }
        refused(&with("solvr.gap=1"), &["unknown key \"solvr\" (did you mean \"solver\"?)"]);
        refused(&with("model.widht=8"), &["widht", "`width`"]);
        refused(&with("model.width=wide"), &["model \"resnet20\": width: invalid type"]);
        refused(&with("cost.bitops.of=weights"), &["a cost that no --budget is on", "unknown key \"bitops\""]);
        refused(&with("solver=highs"), &["solver.OPTION"]);
        // Neither room for so many values nor a panic (rust-cli/config-rs#619).
        for key in ["a[99999999999]", "model.a[-1]", "model.width[0]"] {
            refused(&with(&format!("{key}=1")), &[&format!("\"{key}\" is no key"), "A list is given as a whole"]);
        }
        refused(&with(&format!("{}=1", vec!["a"; 30_000].join("."))), &["is no key"]);
        refused(&with(&format!("model.width={}", "[".repeat(60_000))), &["model \"resnet20\": width: invalid type"]);
        refused(&with("solver.node_limit=0"), &["solver \"exact\": node_limit"]);
        refused(&with("solver.time_limit_s=0"), &["a time limit is a positive number of seconds, got 0"]);
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

mod files {
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
        for (pickle, what) in [(oldest, "os.system"), (newest, "posix.system")] {
            let said = format!(
                "as a pickle: it wants to call {what}, which could run anything, so it is refused; save plain floats"
            );
            refused("indicators.pkl", &pickle, &[&said]);
        }
        assert!(!mark.exists());
    }

    #[test]
    fn text_of_another_kind() {
        let json = serde_json::to_string(&fixtures::indicators(&[6, 5, 4, 3, 2])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let marked = fixtures::write(folder.path(), "marked.json", format!("\u{feff}{json}").as_bytes());
        easy(&marked).assert().success();
        for utf16 in [
            format!("\u{feff}{json}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
            json.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ] {
            refused("indicators.json", &utf16, &["is not an indicator file: it is text in UTF-16; save it as UTF-8"]);
        }
    }

    #[test]
    fn layers_that_are_not_searched() {
        let with_fc = |indicators: &mut Indicators| {
            let layer = indicators.layers["layer1.0.conv1"].clone();
            indicators.layers.insert("fc".into(), layer);
        };
        refused_json(
            with_fc,
            &["the indicators have fc, whose bits resnet20 does not search: it keeps them fixed. Take them"],
        );
    }

    /// Each of them would fill stack or memory, or take minutes.
    #[test]
    fn hostile_indicators() {
        refused("deep.json", format!("{{\"schema\":1,\"x\":{}", "[".repeat(1_000_000)).as_bytes(), &["as JSON: EOF"]);
        let nested = [vec![b']'; 1_000_000], vec![b'a'; 999_999], b".".to_vec()].concat();
        refused("deep.pkl", &nested, &["as a pickle: it holds a list of 1 and not a dict"]);
        let values = [vec![b']'; 5_000_000], vec![b'.']].concat();
        refused("many.pkl", &values, &["as a pickle: it holds more than 4194304 values, the most that is read"]);
        refused(
            "large.json",
            &vec![b' '; 17 << 20],
            &["it is larger than 16 MiB, the most that is read of such a file"],
        );
    }

    /// Read as it stands, a few hundred such operations fill gigabytes.
    #[test]
    fn pickle_that_copies_within_itself() {
        let sets = b"\x80\x04}\x94(\x8c\x06weight\x8f\x94(h\x00\x90\x94\x94u.";
        let what = "as a pickle: its byte 13, 0x8f, is an operation that dicts, lists, strings and floats have no use for, so it \
                    is refused";
        refused("indicators.pkl", sets, &[what]);
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
