//! A network of one's own, from an ONNX file (<https://onnx.ai>) as PyTorch and others export it. It is described without its
//! weights; `[weights]` reads them from the same file, or from a checkpoint with the same names.
//!
//! The file says for which images and how many classes it is. Height and width may be others where nothing in the network depends on
//! them.

use limpq_core::{
    graph::{Graph, GraphError, Model, Shape},
    onnx::{OnnxError, OnnxFile, declared_input, import},
    options::OptionsError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A network from an ONNX file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Onnx {
    /// The file, relative to the folder that limpq is called in.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal digits, if it must be this one; records of runs have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The output with the logits, if the file has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl Onnx {
    fn open(&self) -> Result<OnnxFile, Box<OnnxError>> {
        let file = OnnxFile::open(&self.path)?;
        match self.sha256.as_deref().filter(|wanted| *wanted != file.sha256()) {
            None => Ok(file),
            Some(wanted) => Err(Box::new(OnnxError::Interface {
                path: self.path.display().to_string(),
                why: format!(
                    "its SHA-256 is {}, not {wanted}: it is another file than the one on record",
                    file.sha256()
                ),
            })),
        }
    }
}

impl Model for Onnx {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let file = self.open()?;
        let graph = import(&file, input, self.output.as_deref()).map_err(Box::new)?.graph;
        if graph.classes != classes {
            return Err(GraphError::Contradiction {
                what: "the number of classes",
                found: format!("{} in {}", graph.classes, self.path.display()),
                asked: classes.to_string(),
                hint: "; a network for other classes is exported after its last layer was replaced".to_owned(),
            });
        }
        Ok(graph)
    }

    fn own_input(&self) -> Result<Option<Shape>, GraphError> {
        let [channels, height, width] = declared_input(&self.open()?, self.output.as_deref()).map_err(Box::new)?;
        match (channels, height, width) {
            (Some(channels), Some(height), Some(width)) => Shape::new(channels, height, width).map(Some),
            _ => Ok(None),
        }
    }

    fn own_classes(&self, input: Shape) -> Result<Option<usize>, GraphError> {
        let graph = import(&self.open()?, input, self.output.as_deref()).map_err(Box::new)?.graph;
        Ok(Some(graph.classes))
    }

    fn on_record(&self, options: &mut toml::Table) -> Result<(), OptionsError> {
        let wrong = |message: String| OptionsError { path: "path".to_owned(), message };
        if self.path.as_os_str().is_empty() {
            return Err(wrong("the ONNX file is not given; set path = \"net.onnx\"".to_owned()));
        }
        let file = self.open().map_err(|error| wrong(error.to_string()))?;
        options.insert("sha256".to_owned(), file.sha256().into());
        Ok(())
    }
}

limpq_core::plugin!(limpq_core::graph::Model, "onnx", "A network of one's own, from an ONNX file", Onnx);
