//! Checks the option tables of the book against the registry.
//!
//! `<!-- options: KIND NAME -->` stands for a plugin, `<!-- options: SECTION -->` for a section of a config; what is between it
//! and `<!-- end -->` is compared, and written with the environment variable `LIMPQ_BLESS`.

use super::{Page, book, root};
use clap::ValueEnum;
use limpq::commands::PluginKind;
use limpq_core::options::{Options, describe};
use limpq_core::run::{CheckpointOptions, Evaluate, Refine};
use limpq_core::train::{Recipe, Split};
use std::collections::BTreeSet;

const BEGIN: &str = "<!-- options: ";
const END: &str = "<!-- end -->";

/// Plugins that a build may lack, with the reason that this one does.
const OPTIONAL: [(&str, bool); 2] = [("solver highs", cfg!(feature = "highs")), ("solver cbc", cfg!(feature = "cbc"))];

fn table(options: Options) -> String {
    if options.is_empty() {
        return "No options.\n".to_owned();
    }
    let mut text = String::from("| option | default | meaning |\n|---|---|---|\n");
    for option in options {
        let default = option.default.map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        text += &format!("| `{}` | {default} | {} |\n", option.name, option.about.replace('|', "\\|"));
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// What stands for a marker; `None` for a plugin that this build lacks.
fn described(marker: &str) -> Option<String> {
    let section = match marker {
        "recipe" => Some(describe::<Recipe>()),
        "split" => Some(describe::<Split>()),
        "refine" => Some(describe::<Refine>()),
        "evaluate" => Some(describe::<Evaluate>()),
        "checkpoints" => Some(describe::<CheckpointOptions>()),
        _ => None,
    };
    if let Some(options) = section {
        return Some(format!("\n{}\n", table(options)));
    }
    if OPTIONAL.iter().any(|&(name, on)| name == marker && !on) {
        return None;
    }
    let (kind, name) = marker.split_once(' ').unwrap_or_else(|| panic!("{BEGIN}{marker}: no such section"));
    let kind = PluginKind::from_str(kind, false).unwrap_or_else(|error| panic!("{BEGIN}{marker}: {error}"));
    let plugin = kind.find(name).unwrap_or_else(|error| panic!("{BEGIN}{marker}: {error}"));
    let mut text = format!("\n{}.\nSource: `{}`.\n", capitalised(plugin.about), plugin.file);
    for (alias, option, value) in plugin.aliases {
        text += &format!("`{alias}` is `{}` with `{option} = \"{value}\"`.\n", plugin.name);
    }
    Some(text + &format!("\n{}\n", table((plugin.options)())))
}

/// A page with every table as it should be, and the markers that it has.
fn filled(page: &Page) -> (String, Vec<String>) {
    let (mut text, mut markers, mut skipping) = (String::new(), vec![], false);
    for line in page.text.lines() {
        skipping &= line != END;
        if !skipping {
            text += &format!("{line}\n");
        }
        let Some(marker) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        markers.push(marker.to_owned());
        if let Some(content) = described(marker) {
            text += &content;
            skipping = true;
        }
    }
    assert!(!skipping, "{}: {BEGIN}... without {END}", page.path.display());
    (text, markers)
}

#[test]
fn the_option_tables_are_those_of_the_registry() {
    let bless = std::env::var_os("LIMPQ_BLESS").is_some();
    let mut markers = BTreeSet::new();
    let mut differing = vec![];
    for page in book() {
        let (text, of_page) = filled(&page);
        markers.extend(of_page);
        if text != page.text {
            if bless {
                std::fs::write(root().join(&page.path), &text).unwrap();
            }
            let first = text.lines().zip(page.text.lines()).find(|(wanted, found)| wanted != found);
            differing.push(format!("{}: {first:?}", page.path.display()));
        }
    }
    assert!(
        bless || differing.is_empty(),
        "option tables differ from the registry; LIMPQ_BLESS=1 cargo test --test main book:: writes them: {differing:#?}"
    );
    for kind in PluginKind::value_variants() {
        for plugin in kind.entries().unwrap() {
            let marker = format!("{} {}", kind.name(), plugin.name);
            assert!(markers.contains(&marker), "no page has the options of {marker}: write {BEGIN}{marker} -->");
        }
    }
}
