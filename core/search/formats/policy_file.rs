//! Policies as files: our JSON, LIMPQ's bit lists (YAML or JSON) and CSV; told apart by content when read.

use super::indicators::plain_name;
use crate::search::{BitWidth, LayerBits, POLICY_SCHEMA, Policy, PolicyError, Precision};
use crate::{graph::Graph, input};
use serde::Deserialize;
use std::{collections::BTreeSet, path::Path};

/// The headings of the CSV form.
const CSV_HEADINGS: [&str; 3] = ["layer", "weight_bits", "act_bits"];

/// LIMPQ's form: bits in graph order, without names. Its configs hold many other keys.
#[derive(Deserialize)]
struct Lists {
    weight_bits: Vec<BitWidth>,
    act_bits: Vec<BitWidth>,
}

impl Policy {
    /// Reads any of the three forms. A graph checks the layers and puts them into its order; LIMPQ's lists need it.
    ///
    /// # Errors
    /// Missing or malformed files; lists without a graph; layers that do not fit the graph.
    pub fn read(path: &Path, graph: Option<&Graph>) -> Result<Self, PolicyError> {
        let shown = path.display().to_string();
        let bytes = input::read(path);
        let bytes = bytes.map_err(|error| PolicyError::Read { path: shown.clone(), why: error.to_string() })?;
        Self::from_bytes(&bytes, &shown, graph)
    }

    /// Reads the content of a file in any of the three forms; `shown` names it in errors.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(bytes: &[u8], shown: &str, graph: Option<&Graph>) -> Result<Self, PolicyError> {
        let wrong = |why: String| PolicyError::Read { path: shown.to_owned(), why };
        let text = input::text(bytes).map_err(wrong)?;
        let start = text.trim_start();
        // LIMPQ's lists in braces may be YAML, so that a text in braces is only JSON if it reads as such. Too deep, it is neither.
        let json = match start.starts_with('{').then(|| serde_json::from_str::<serde_json::Value>(text)) {
            Some(Err(error)) if error.to_string().contains("recursion") => {
                return Err(wrong(input::json_error(&error)));
            }
            json => json.and_then(Result::ok),
        };
        if let Some(separator) = [';', '\t'].into_iter().find(|&separator| has_headings(start, separator)) {
            return Err(wrong(format!("its fields are separated by {separator:?}; save it with commas instead")));
        }
        let policy = match json {
            _ if start.is_empty() => return Err(wrong("it is empty".to_owned())),
            Some(json) if json.get("weight_bits").is_none() => of_json(text).map_err(wrong)?,
            _ if has_headings(start, ',') => of_csv(text).map_err(wrong)?,
            _ => return of_lists(text, shown, graph),
        };
        let policy = match graph {
            Some(graph) => policy.in_names_of(graph),
            None => policy,
        };
        let mut seen = BTreeSet::new();
        if let Some(twice) = policy.policy.iter().find(|bits| !seen.insert(&bits.layer)) {
            return Err(wrong(format!("layer {:?} stands there twice", twice.layer)));
        }
        match graph {
            Some(graph) => Ok(Self::new(graph, policy.precisions(graph)?)),
            None => Ok(policy),
        }
    }

    /// One line for each layer, under the headings `layer,weight_bits,act_bits`.
    pub fn to_csv(&self) -> String {
        let mut csv = csv::Writer::from_writer(vec![]);
        for layer in &self.policy {
            csv.serialize(layer).expect("a name and two numbers make a line");
        }
        let bytes = csv.into_inner().expect("writing to memory does not fail");
        String::from_utf8(bytes).expect("it was made from text")
    }

    /// LIMPQ's form: two lists in graph order, to be pasted into its fine-tuning configs.
    pub fn to_limpq_yaml(&self) -> String {
        let list = |bits: fn(&LayerBits) -> BitWidth| {
            self.policy.iter().map(|layer| bits(layer).to_string()).collect::<Vec<_>>().join(", ")
        };
        format!(
            "# {}, {} layers in network order\nweight_bits: [{}]\nact_bits: [{}]\n",
            self.named(),
            self.policy.len(),
            list(|layer| layer.weight_bits),
            list(|layer| layer.act_bits)
        )
    }
}

/// Whether a text starts with headings of CSV, one of which is `layer`; they may stand between quotes.
fn has_headings(text: &str, separator: char) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.contains(separator)
        && first.split(separator).any(|field| field.trim().trim_matches('"').trim() == CSV_HEADINGS[0])
}

fn of_json(text: &str) -> Result<Policy, String> {
    let mut policy: Policy = serde_json::from_str(text).map_err(|error| input::json_error(&error))?;
    policy.policy.iter_mut().for_each(|bits| bits.layer = plain_name(&bits.layer).to_owned());
    match policy.schema {
        POLICY_SCHEMA => Ok(policy),
        found => Err(format!("it has schema version {found}, this program reads {POLICY_SCHEMA}")),
    }
}

fn of_csv(text: &str) -> Result<Policy, String> {
    let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start().as_bytes());
    let headings = csv.headers().map_err(|error| error.to_string())?;
    if let Some(missing) = CSV_HEADINGS.iter().find(|wanted| !headings.iter().any(|found| found == **wanted)) {
        return Err(format!("its first line has no {missing:?}; as CSV it must be {}", CSV_HEADINGS.join(",")));
    }
    let rows = csv.deserialize().collect::<Result<Vec<LayerBits>, _>>().map_err(|error| error.to_string())?;
    let policy = rows.into_iter().map(|bits| LayerBits { layer: plain_name(&bits.layer).to_owned(), ..bits });
    Ok(Policy { schema: POLICY_SCHEMA, model: None, network: None, policy: policy.collect() })
}

fn of_lists(text: &str, path: &str, graph: Option<&Graph>) -> Result<Policy, PolicyError> {
    let lists: Lists = serde_saphyr::from_str(text).map_err(|error| PolicyError::Read {
        path: path.to_owned(),
        why: format!(
            "it is neither this program's JSON, nor LIMPQ's lists weight_bits and act_bits, nor CSV with the headings {}: {error}",
            CSV_HEADINGS.join(",")
        ),
    })?;
    let Lists { weight_bits, act_bits } = lists;
    let graph = graph.ok_or_else(|| PolicyError::NeedsModel { path: path.to_owned(), layers: weight_bits.len() })?;
    let layers = graph.searchable().len();
    for (list, found) in [("weight_bits", weight_bits.len()), ("act_bits", act_bits.len())] {
        if found != layers {
            let (path, model) = (path.to_owned(), graph.model.clone());
            return Err(PolicyError::Length { path, list, found, model, layers });
        }
    }
    let bits = weight_bits.into_iter().zip(act_bits).map(|(weight, act)| Precision { weight, act });
    Ok(Policy::new(graph, bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Conv, Shape};

    /// Two convolutions whose bits are searched, and a classifier.
    fn graph() -> Graph {
        let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).unwrap(), 3);
        let x = b.conv("body.0", x, Conv::new(4, 3));
        let x = b.conv("body.1", x, Conv::new(4, 3));
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    fn read(content: &str, graph: Option<&Graph>) -> Result<Policy, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        std::fs::write(&path, content).unwrap();
        Policy::read(&path, graph).map_err(|error| error.to_string())
    }

    fn some() -> Policy {
        Policy::new(&graph(), ["w3a4".parse().unwrap(), "w2a6".parse().unwrap()])
    }

    #[test]
    fn every_form_reads_what_it_writes() {
        let (graph, policy) = (graph(), some());
        for text in [serde_json::to_string(&policy).unwrap(), policy.to_limpq_yaml(), policy.to_csv()] {
            assert_eq!(read(&text, Some(&graph)).unwrap(), policy, "{text}");
        }
        assert_eq!(policy.to_csv(), "layer,weight_bits,act_bits\nbody.0,3,4\nbody.1,2,6\n");
        assert_eq!(read(&policy.to_csv(), None).unwrap().policy, policy.policy);
    }

    #[test]
    fn reads_what_others_write() {
        let (graph, policy) = (graph(), some());
        let config =
            "name: x\nweight_bits: [3,\n  2]\nact_bits:\n  - 4\n  - 6\nquan: {act: {bit: 2, mode: }}\nlr: 0.04\n";
        for text in [
            config,
            r#"{"weight_bits": [3, 2], "act_bits": [4, 6]}"#,
            "{weight_bits: [3, 2], act_bits: [4, 6]}",
            "layer, act_bits, weight_bits, note\r\nmodule.body.1, 6, 2, x\r\nmodule.body.0, 4, 3,\r\n",
            "\u{feff}\"layer\",\"weight_bits\",\"act_bits\"\r\n\"body.0\",\"3\",\"4\"\r\n\"body.1\",\"2\",\"6\"\r\n",
            "weight_bits,act_bits,layer\n3,4,body.0\n2,6,body.1\n",
            "\u{feff}{\"weight_bits\": [3, 2], \"act_bits\": [4, 6]}",
        ] {
            assert_eq!(read(text, Some(&graph)).unwrap(), policy, "{text}");
        }
    }

    #[test]
    fn says_what_a_file_is_written_in() {
        let graph = graph();
        let semicolons = read("layer;weight_bits;act_bits\nbody.0;3;4\n", Some(&graph)).unwrap_err();
        assert!(semicolons.ends_with("its fields are separated by ';'; save it with commas instead"), "{semicolons}");
        let utf16: Vec<u8> = "\u{feff}layer,weight_bits".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = Policy::from_bytes(&utf16, "p.csv", Some(&graph)).unwrap_err().to_string();
        assert!(utf16.contains("p.csv: it is text in UTF-16; save it as UTF-8"), "{utf16}");
    }

    /// Small files that would take minutes, gigabytes or all of the stack.
    #[test]
    fn hostile_policies_end_in_an_error() {
        let graph = graph();
        let rows: String = (0..200_000).map(|row| format!("layer{row},3,4\n")).collect();
        let unknown = read(&format!("layer,weight_bits,act_bits\n{rows}"), Some(&graph)).unwrap_err();
        assert!(unknown.contains("layer \"layer0\" is not in the model"), "{unknown}");
        let deep = 500_000;
        let json = read(&format!("{{\"policy\": {}", "[".repeat(deep)), Some(&graph)).unwrap_err();
        assert!(json.contains("more than 127 levels deep"), "{json}");
        for yaml in [
            format!("weight_bits: {}", "[".repeat(deep)),
            (0..20_000).map(|level| format!("{}- \n", " ".repeat(level % 1000))).collect(),
            format!("{{{}", "a: {".repeat(deep)),
            // Each name stands for nine of the one before.
            (1..30).fold("a0: &a0 [1, 1]\n".to_owned(), |text, i| {
                let names = vec![format!("*a{}", i - 1); 9].join(", ");
                format!("{text}a{i}: &a{i} [{names}]\n")
            }) + "weight_bits: *a29\nact_bits: *a29\n",
        ] {
            let error = read(&yaml, Some(&graph)).unwrap_err();
            assert!(error.contains("it is neither"), "{error}");
        }
    }

    #[test]
    fn says_what_does_not_fit() {
        let graph = graph();
        for (text, with_graph, words) in [
            ("", true, "it is empty"),
            ("weight_bits: [3, 2]\nact_bits: [4, 6]", false, "2 layers without names"),
            ("weight_bits: [3, 2]\nact_bits: [4]", true, "act_bits has 1 entries; tiny has 2 layers"),
            ("weight_bits: [3, 0]\nact_bits: [4, 6]", true, "bit-width must be 1..=32, got 0"),
            ("hello", true, "neither this program's JSON"),
            ("layer,bits\nbody.0,3\n", true, "no \"weight_bits\""),
            ("layer,weight_bits,act_bits\nbody.0,3,44\n", true, "bit-width must be 1..=32, got 44"),
            ("layer,weight_bits,act_bits\nbody.0,3,4\nbody.0,3,4\n", true, "\"body.0\" stands there twice"),
            ("layer,weight_bits,act_bits\nbody.0,3,4\n", true, "layer \"body.1\" has no bits"),
            (r#"{"schema": 1, "model": "other", "policy": []}"#, true, "the policy is for other, not for tiny"),
            (r#"{"schema": 7, "model": "tiny", "policy": []}"#, true, "schema version 7"),
        ] {
            let error = read(text, with_graph.then_some(&graph)).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
