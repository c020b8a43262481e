//! The plugin kinds by name, so that one command serves them all.

use limpq_core::graph::Model;
use limpq_core::ops::Operator;
use limpq_core::options::Options;
use limpq_core::registry::{self, Entry, Kind, RegistryError};
#[cfg(feature = "train")]
use limpq_core::run::Stage;
use limpq_core::search::{CostModel, Solver};
#[cfg(feature = "train")]
use limpq_core::train::{Dataset, Quantizer, Sensitivity};

/// A kind of plugin, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PluginKind {
    /// Fake quantization of weights and activations
    #[cfg(feature = "train")]
    Quantizer,
    /// Networks
    Model,
    /// Operators, the nodes of a network
    Operator,
    /// What a layer costs at given bits
    Cost,
    /// Solvers of the integer program
    Solver,
    /// What the search minimises
    #[cfg(feature = "train")]
    Sensitivity,
    /// Labelled images
    #[cfg(feature = "train")]
    Dataset,
    /// Stages of a run, beside the built-in ones
    #[cfg(feature = "train")]
    Stage,
}

/// A registered plugin, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// The name that configs use.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The source file that holds it.
    pub file: &'static str,
    /// Further names, each with the option that it sets and the value.
    pub aliases: &'static [(&'static str, &'static str, &'static str)],
    /// Its options.
    pub options: fn() -> Options,
}

impl<P: ?Sized + Kind> From<&'static Entry<P>> for Registered {
    fn from(entry: &'static Entry<P>) -> Self {
        let Entry { name, about, file, aliases, options, .. } = *entry;
        Self { name, about, file, aliases, options }
    }
}

/// Calls a function for the trait of a kind.
macro_rules! of_kind {
    ($kind:expr, $function:ident($($argument:expr)?)) => {
        match $kind {
            #[cfg(feature = "train")]
            PluginKind::Quantizer => $function::<dyn Quantizer>($($argument)?),
            PluginKind::Model => $function::<dyn Model>($($argument)?),
            PluginKind::Operator => $function::<dyn Operator>($($argument)?),
            PluginKind::Cost => $function::<dyn CostModel>($($argument)?),
            PluginKind::Solver => $function::<dyn Solver>($($argument)?),
            #[cfg(feature = "train")]
            PluginKind::Sensitivity => $function::<dyn Sensitivity>($($argument)?),
            #[cfg(feature = "train")]
            PluginKind::Dataset => $function::<dyn Dataset>($($argument)?),
            #[cfg(feature = "train")]
            PluginKind::Stage => $function::<dyn Stage>($($argument)?),
        }
    };
}

impl PluginKind {
    /// Name of the kind in core.
    pub fn name(self) -> &'static str {
        fn name<P: ?Sized + Kind>() -> &'static str {
            P::NAME
        }
        of_kind!(self, name())
    }

    /// Everything registered of this kind, sorted by name.
    ///
    /// # Errors
    /// As [`registry::entries`].
    pub fn entries(self) -> Result<Vec<Registered>, RegistryError> {
        fn entries<P: ?Sized + Kind>() -> Result<Vec<Registered>, RegistryError> {
            Ok(registry::entries::<P>()?.into_iter().map(Registered::from).collect())
        }
        of_kind!(self, entries())
    }

    /// The plugin of this kind that has this name or alias.
    ///
    /// # Errors
    /// As [`registry::find`].
    pub fn find(self, name: &str) -> Result<Registered, RegistryError> {
        fn find<P: ?Sized + Kind>(name: &str) -> Result<Registered, RegistryError> {
            registry::find::<P>(name).map(Registered::from)
        }
        of_kind!(self, find(name))
    }
}
