//! Which network a table of single layers was made for. Names such as layer1.0.conv1 stand in many networks, and a table whose
//! columns of shapes were left out fits each of them.

use limpq_core::graph::Graph;
use limpq_core::search::NetworkRecord;
use serde::{Deserialize, Serialize};

/// Begins the comment of a CSV file that says it.
const COMMENT: &str = "# network: ";
/// The option of every model that says nothing about what a layer costs.
const FIXED: &str = "fixed";

/// What a template notes of its network: in CSV as JSON in a comment, in JSON beside the entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Belongs {
    pub model: String,
    pub network: NetworkRecord,
}

impl Belongs {
    /// The network of a graph, whatever its layers' roles in a search are: that changes no measurement.
    pub fn of(graph: &Graph) -> Self {
        let mut network = NetworkRecord { fixed: vec![], ..NetworkRecord::of(graph) };
        network.options.iter_mut().for_each(|options| drop(options.remove(FIXED)));
        Self { model: graph.model.clone(), network }
    }

    /// As the first line of a CSV file.
    pub fn comment(&self) -> String {
        format!("{COMMENT}{}\n", serde_json::to_string(self).expect("a record is plain data"))
    }

    /// From the comments before the header of a CSV file.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn of_csv(text: &str) -> Result<Option<Self>, (usize, String)> {
        let comments = text.lines().enumerate().take_while(|(_, line)| line.trim().is_empty() || line.starts_with('#'));
        let mut records = comments.filter_map(|(place, line)| Some((place + 1, line.strip_prefix(COMMENT)?)));
        let Some((line, record)) = records.next() else { return Ok(None) };
        let wrong = |error: serde_json::Error| {
            (
                line,
                format!(
                    "cannot read the network of this table ({error}); delete the line, or write the template again"
                ),
            )
        };
        serde_json::from_str(record).map(Some).map_err(wrong)
    }

    /// What keeps the table from being one of this network, in words.
    pub fn contradiction(&self, graph: &Graph) -> Option<String> {
        if self.model != graph.model {
            return Some(format!("the table was made for {}, not for {}", self.model, graph.model));
        }
        let contradiction = self.network.agrees(&Self::of(graph).network).err()?;
        Some(format!("the table was made for {} with {contradiction}", self.model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::graph::{Builder, Conv};

    fn graph(input: &str, options: &str) -> Graph {
        let (mut b, x) = Builder::new("tiny", input.parse().unwrap(), 10);
        let x = b.conv("body", x, Conv::new(4, 3));
        b.classifier("fc", x);
        let mut graph = b.finish().unwrap();
        graph.options = Some(options.parse().unwrap());
        graph
    }

    #[test]
    fn says_what_differs_and_not_what_is_searched() {
        let belongs = Belongs::of(&graph("1x8x8", "width = 8"));
        assert_eq!(Belongs::of_csv(&format!("\n# by hand\n{}layer", belongs.comment())), Ok(Some(belongs.clone())));
        assert_eq!(belongs.contradiction(&graph("1x8x8", "width = 8\nfixed = ['fc']")), None);
        assert_eq!(
            belongs.contradiction(&graph("3x8x8", "width = 16")).unwrap(),
            "the table was made for tiny with model.width = 8, input 1x8x8, not model.width = 16, input 3x8x8"
        );
        let other = Belongs { model: "large".to_owned(), ..belongs };
        let wanted = "the table was made for large, not for tiny";
        assert_eq!(other.contradiction(&graph("1x8x8", "width = 8")).unwrap(), wanted);
        assert_eq!(Belongs::of_csv("# a comment\nlayer\n# network: {}\n"), Ok(None));
        assert_eq!(Belongs::of_csv("#\n# network: {\nlayer").unwrap_err().0, 2);
    }
}
