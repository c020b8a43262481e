//! Configs: errors name line and column, valid configs are read back.

use crate::runs::{TINY, tiny};
use limpq_core::{run::Config, search::RisingIndicators};

#[test]
fn wrong_configs_point_at_line_and_column() {
    let wrong = |from: &str, to: &str| {
        assert!(TINY.contains(from));
        Config::parse("tiny.toml", &TINY.replacen(from, to, 1), &[]).unwrap_err().to_string()
    };
    let cases = [
        ("seed = 5", "sead = 5", "tiny.toml:2:1: sead: unknown field `sead`"),
        ("seed = 5", "seed = 'x'", "tiny.toml:2:1: seed: invalid type: string \"x\", expected u64"),
        ("seed = 5", "seed = 5.9", "tiny.toml:2:1: seed: invalid type: floating point `5.9`, expected u64"),
        ("bits = [4, 3, 2]", "bits = [4, 0]", "bit-width must be 1..=32, got 0"),
        ("bits = [4, 3, 2]", "bits = []", "the list of candidate bit-widths is empty"),
        ("width = 4", "widht = 4", "tiny.toml:5:30: model.widht: unknown field `widht`"),
        ("\"resnet20\"", "\"resnet21\"", "no model is called \"resnet21\" (did you mean \"resnet20\"?)"),
        ("epochs = 1", "epoch = 1", "tiny.toml:11:1: pretrain.epoch: unknown field `epoch`"),
        (
            "learning_rate = 0.1",
            "learning_rate = -0.1",
            "tiny.toml:12:1: pretrain.learning_rate: must be a positive number",
        ),
        ("bitops = ", "bitop = ", "no cost is called \"bitop\" (did you mean \"bitops\"?)"),
        ("seed = 5", "seed = ", "tiny.toml is not TOML: TOML parse error at line 2"),
        (
            "seed = 5",
            "device = 'cuda'",
            "no device is called \"cuda\"; there are: flex, libtorch, libtorch:cuda:N and cuda:N",
        ),
        (
            "size = \"9x\"",
            "size = \"9x\"\n[cost.size]\nbatch = 1",
            "tiny.toml:25:1: cost.size.batch: unknown field `batch`",
        ),
        ("size = \"9x\"", "size = true", "tiny.toml:23:1: search.budgets.size: expected a limit such as"),
        (
            "{ name = \"lsq\" }",
            "\"lsq\"",
            "tiny.toml:6:1: quantizer: invalid type: string \"lsq\", expected a table with the",
        ),
        ("bits = [4, 3, 2]", "bits = [2, 1]", "tiny.toml:3:1: bits: bit-width 1 cannot be trained"),
        ("name = \"lsq\"", "name = \"lsq\", min_step = -1.0", "quantizer.min_step: must be a positive number, got -1"),
        (
            "name = \"lsq\"",
            "name = \"dorefa\"",
            "tiny.toml:6:15: quantizer.name: sensitivity \"learned_step\" asks for importance indicators, but quantizer \
             \"dorefa\" gives no importance indicator for weights: its levels are the same for every layer, and nothing about \
             them is learned. Quantizers that give them: ewgs, lsq, lsq_dampened, lsq_plus, minmax. Sensitivities that do without: fisher, infoq, \
             loss_drop, mutual_information_drop, random",
        ),
        ("name = \"tiny\"", "name = \"../tiny\"", "tiny.toml:1:1: name: must be a plain file name"),
        ("name = \"tiny\"", "", "missing field `name`"),
    ];
    for (from, to, message) in cases {
        let error = wrong(from, to);
        assert!(error.contains(message), "{from} -> {to}: {error}");
    }
    let set = Config::parse("tiny.toml", TINY, &["model.widht=3".into()]).unwrap_err().to_string();
    assert!(set.starts_with("setting model.widht=3: model.widht: unknown field"), "{set}");
    let set = Config::parse("tiny.toml", TINY, &["model.width".into()]).unwrap_err().to_string();
    assert!(set.contains("expected KEY=VALUE"), "{set}");
}

/// An error names the setting that caused it, and the file only if the mistake is there.
#[test]
fn mistakes_in_settings_are_not_blamed_on_the_file() {
    let said = |text: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::parse("tiny.toml", text, &sets).unwrap_err().to_string()
    };
    for (set, key) in [
        ("model={name=\"resnet20\",widht=3}", "model.widht: unknown field"),
        ("bits=[4,0]", "bits[1]: bit-width must be 1..=32, got 0"),
        ("bits=[4,4]", "bits: "),
        ("pretrain={epochs=\"x\"}", "pretrain.epochs: invalid type"),
        ("search={alpha=-1}", "search.alpha: "),
        ("search.layers.\"layer1.*\"=\"2\"", "search.layers.layer1.*: cannot read the rule"),
        ("search.budgets.bitop=w3a3", "search.budgets.bitop: no cost is called"),
        ("solver=3", "solver: invalid type"),
        // Nothing is wrong with the quantizer except in combination with this.
        ("sensitivity.name=learned_step", "quantizer.name: sensitivity \"learned_step\" asks for"),
    ] {
        let text = TINY.replace("\"lsq\"", "\"dorefa\"").replace("\"learned_step\"", "\"random\"");
        let error = said(&text, &["seed=7", set, "pretrain.batch_size=32"]);
        assert!(error.starts_with(&format!("setting {set}: {key}")), "{set}: {error}");
    }
    let wrong = TINY.replace("seed = 5", "seed = 'x'");
    assert!(said(&wrong, &["model.width=8"]).starts_with("tiny.toml:2:1: seed: "));
    // The last of several settings with the value.
    assert!(said(TINY, &["seed=1", "seed=x", "seed=y"]).starts_with("setting seed=y: seed: "));
}

/// Keys that the crate `config` treated as indices of a list (rust-cli/config-rs#619).
#[test]
fn a_key_is_no_place_in_a_list() {
    for key in ["bits[0]", "bits[99999999999]", "bits[-1]", "a[-1]", "search.share[99999999999]"] {
        let error = Config::parse("tiny.toml", TINY, &[format!("{key}=1")]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read the setting \"{key}=1\": \"{key}\" is not a key")), "{error}");
        assert!(error.contains("A list is given as a whole, for example bits=[4,2]"), "{error}");
    }
}

#[test]
fn a_stage_without_epochs_needs_no_batches() {
    let parse = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::parse("tiny.toml", TINY, &sets).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(parse(&["pretrain.epochs=0", "pretrain.batch_size=1"]), Ok(()));
    let error = parse(&["pretrain.batch_size=1"]).unwrap_err();
    assert!(error.contains("pretrain.batch_size: must be at least 2"), "{error}");
}

#[test]
fn a_resolved_config_has_every_default_and_reads_back() {
    let config = tiny(&["search.alpha=1.5"]);
    let text = config.to_toml();
    for default in
        ["min_step", "weight_start", "alpha = 1.5", "label_smoothing", "accounting = \"exact\"", "device = \""]
    {
        assert!(text.contains(default), "{default} is missing in\n{text}");
    }
    assert_eq!(Config::parse("config.toml", &text, &[]).unwrap(), config);
}

/// LIMPQ's recipe clips gradients where indicators are trained: without clipping, step sizes have exploded. And each
/// sensitivity has its own default of alpha.
#[test]
fn defaults_are_those_that_go_with_what_is_chosen() {
    let text = TINY.replace("clip_value = 1.0\n", "");
    let read = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Config::parse("tiny.toml", &text, &sets).unwrap()
    };
    let config = read(&[]);
    assert_eq!((config.indicators.clip_value, config.pretrain.clip_value, config.finetune.clip_value), (1.0, 0.0, 0.0));
    assert_eq!(read(&["indicators.clip_value=0"]).indicators.clip_value, 0.0);
    let without = text.replace("[indicators]\nepochs = 1\n", "");
    assert_eq!(Config::parse("tiny.toml", &without, &[]).unwrap().indicators.clip_value, 1.0);
    for (sensitivity, alpha) in
        [("learned_step", 2.0), ("fisher", 1.0), ("loss_drop", 1.0), ("infoq", 1.0), ("mutual_information_drop", 1.0)]
    {
        let sensitivity = format!("sensitivity.name={sensitivity}");
        assert_eq!(read(&[&sensitivity]).search.alpha, alpha, "{sensitivity}");
        assert_eq!(read(&[&sensitivity, "search.alpha=0"]).search.alpha, 0.0);
    }
    for (set, rule) in [
        ("search.accounting=exact", RisingIndicators::Allow),
        ("search.accounting=limpq", RisingIndicators::Forbid),
        ("search.rising_indicators=forbid", RisingIndicators::Forbid),
    ] {
        assert_eq!(read(&[set]).search.rising(), rule, "{set}");
    }
    let wrong = Config::parse("tiny.toml", TINY, &["search.alpha=-1".to_owned()]).unwrap_err().to_string();
    assert!(wrong.contains("search.alpha: must be 0 or a positive number, got -1"), "{wrong}");
}

#[test]
fn rules_stand_in_a_config_and_hold_in_the_run() {
    let text = TINY.replace(
        "[search.budgets]",
        "[search]\nshare = [\"@residual\"]\n\n[search.layers]\n\"layer1.*\" = \"w2\"\n\n[search.budgets]",
    );
    let config = Config::parse("tiny.toml", &text, &[]).unwrap();
    let rules = config.search.rules().unwrap();
    assert_eq!(rules.rules[0].to_string(), "layer1.*=w2");
    assert_eq!(rules.shares[0].to_string(), "@residual");
    assert_eq!(Config::parse("config.toml", &config.to_toml(), &[]).unwrap(), config);
    let wrong = text.replace("= \"w2\"", "= \"2\"");
    let error = Config::parse("tiny.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("cannot read the rule \"layer1.*=2\""), "{error}");
    let wrong = text.replace("@residual", "@residal");
    let error = Config::parse("tiny.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("cannot read the share \"@residal\""), "{error}");
}

#[test]
fn recipes_that_lack_something_are_refused_with_the_config() {
    let refused = |set: &str| Config::parse("tiny.toml", TINY, &[set.to_owned()]).unwrap_err().to_string();
    for (set, message) in [
        ("pretrain.keep=\"best\"", "pretrain.keep: \"best\" is judged on held-out images; give split.validation"),
        ("indicators.keep=\"best\"", "indicators.keep: indicators are those of the last step"),
        ("pretrain.distillation=0.5", "pretrain.distillation: before pre-training there is no teacher"),
        ("split.fraction=0", "split.fraction: must be above 0 and at most 1, got 0"),
        ("indicators.fraction=1.5", "indicators.fraction: must be above 0 and at most 1, got 1.5"),
        ("finetune.temperature=0", "finetune.temperature: must be a positive number"),
    ] {
        assert!(refused(set).contains(message), "{}", refused(set));
    }
}

/// Texts of some kilobytes to megabytes must not overflow the stack.
#[test]
fn configs_that_lie_too_deep_in_themselves_are_refused() {
    let deep = 100_000;
    for text in [
        format!("{TINY}x = {}", "[".repeat(deep)),
        format!("{TINY}x = {}", "{a = ".repeat(deep)),
        format!("{TINY}{}x = 1", "a.".repeat(deep)),
        format!("{TINY}[{}x]", "a.".repeat(deep)),
        format!("{TINY}{}x = {}1{}", "a.".repeat(70), format!("{{{}x = ", "a.".repeat(70)).repeat(70), "}".repeat(70)),
    ] {
        let error = Config::parse("tiny.toml", &text, &[]).unwrap_err().to_string();
        assert!(error.starts_with("tiny.toml is not TOML: "), "{error}");
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tiny.toml");
    std::fs::write(&path, format!("\u{feff}{TINY}")).unwrap();
    Config::read(&path, &[]).unwrap();
    std::fs::write(&path, TINY.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let error = Config::read(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("tiny.toml: it is text in UTF-16; save it as UTF-8"), "{error}");
}
