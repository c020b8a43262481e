//! The model kind: a description of a network.

use super::{FixedRules, Graph, GraphError, Shape};
use crate::{
    options::{OptionInfo, OptionsError},
    registry::{self, RegistryError},
};

/// Describes a network. Names of layers are those of the PyTorch state dict.
///
/// ```
/// # use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, Shape};
/// /// A stem, one convolution and a classifier.
/// struct Tiny;
///
/// impl Model for Tiny {
///     fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
///         let (mut b, x) = Builder::new("tiny", input, classes);
///         let x = b.fixed_conv("conv1", x, Conv::new(8, 3));
///         let x = b.batch_norm("bn1", x);
///         let x = b.relu(x);
///         let x = b.conv("conv2", x, Conv::new(16, 3).stride(2));
///         let x = b.global_avg_pool(x);
///         b.classifier("fc", x);
///         b.finish()
///     }
/// }
///
/// let graph = Tiny.graph("3x32x32".parse().unwrap(), 10)?;
/// // The stem and the classifier keep their 8 bits; conv2 has 8*16*3*3 weights.
/// let searchable = graph.searchable();
/// assert_eq!((searchable.len(), &*searchable[0].name, searchable[0].weights), (1, "conv2", 1152));
/// # Ok::<(), GraphError>(())
/// ```
pub trait Model: Send + Sync {
    /// The network for images of this shape and this many classes.
    ///
    /// # Errors
    /// When the input is too small or the options do not fit together.
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError>;

    /// How this network differs from others with the same names and shapes, whose weights load without an error but
    /// give other results. Shown whenever weights from elsewhere are loaded.
    fn weights_remark(&self) -> Option<String> {
        None
    }

    /// The images that the network itself says it is for, if it does: those of a network that was read from a file.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn own_input(&self) -> Result<Option<Shape>, GraphError> {
        Ok(None)
    }

    /// The number of classes that the network itself says it is for, if it does.
    ///
    /// # Errors
    /// As [`Self::graph`].
    fn own_classes(&self, _input: Shape) -> Result<Option<usize>, GraphError> {
        Ok(None)
    }

    /// Adds what belongs on the record of the network beside its options, such as the hash of a file that it is read from.
    ///
    /// # Errors
    /// A file that cannot be read, with the option that names it.
    fn on_record(&self, _options: &mut toml::Table) -> Result<(), OptionsError> {
        Ok(())
    }
}

/// The option that every model has besides its own: the layers that are excluded from the search.
const FIXED: &str = "fixed";

/// The option `fixed`, for listings.
pub fn fixed_option() -> OptionInfo {
    let about = "Layers that are excluded from the search: \"@first\", \"@last\", \"@products\" (of two activations, as in \
                 attention), names or globs; at 8 bits, or others after \"=\", as in \"fc=w4a8\". The model's own choice, its \
                 first and last layer and such products, if not given.";
    OptionInfo { name: FIXED.to_owned(), default: None, about: about.to_owned() }
}

/// The network that a registered model describes, together with the model's name and options.
///
/// Besides the model's own options there is `fixed`, a list of layers that are excluded from the search
/// ([`FixedRules`]); without it these are the model's own choice, its first and last layer and products of two
/// activations.
///
/// # Errors
/// Unknown names and options; what [`Model::graph`] refuses.
pub fn described(name: &str, options: &toml::Table, input: Shape, classes: usize) -> Result<Graph, DescribedError> {
    let mut graph = model(name, options)?.graph(input, classes)?;
    registry::find::<dyn Model>(name)?.name.clone_into(&mut graph.model);
    if let Some(rules) = &divided(name, options)?.1 {
        graph.fix(rules)?;
    }
    graph.options = Some(resolved(name, options)?);
    Ok(graph)
}

/// A registered model, built from its own options; `fixed` may be among them.
///
/// # Errors
/// Unknown names and options.
pub fn model(name: &str, options: &toml::Table) -> Result<Box<dyn Model>, RegistryError> {
    registry::build::<dyn Model>(name, &divided(name, options)?.0)
}

/// A model's options with every default written out, `fixed` among them if it is given.
///
/// # Errors
/// Unknown names and options.
pub fn resolved(name: &str, options: &toml::Table) -> Result<toml::Table, RegistryError> {
    let (own, fixed) = divided(name, options)?;
    let mut all = registry::resolve::<dyn Model>(name, &own)?;
    registry::build::<dyn Model>(name, &own)?.on_record(&mut all).map_err(|error| RegistryError::Options {
        kind: "model",
        name: name.to_owned(),
        error,
    })?;
    if let Some(rules) = fixed {
        all.insert(FIXED.to_owned(), toml::Value::try_from(rules).expect("a list of texts"));
    }
    Ok(all)
}

/// The model's own options, and the rules on fixed layers.
fn divided(name: &str, options: &toml::Table) -> Result<(toml::Table, Option<FixedRules>), RegistryError> {
    let mut own = options.clone();
    let rules = own.remove(FIXED).map(|rules| rules.try_into()).transpose().map_err(|error: toml::de::Error| {
        let error = OptionsError { path: FIXED.to_owned(), message: error.message().trim().to_owned() };
        RegistryError::Options { kind: "model", name: name.to_owned(), error }
    })?;
    Ok((own, rules))
}

/// Why the network of a registered model could not be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribedError {
    /// The model or its options.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The network.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
