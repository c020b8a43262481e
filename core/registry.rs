//! Plugins by name. A plugin registers itself with [`crate::plugin!`]; there is no central list.

use crate::options::{Options, OptionsError};

/// One registered plugin of kind `P` (a trait object such as `dyn Solver`).
pub struct Entry<P: ?Sized + 'static> {
    /// The name that configs use.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The source file that holds it.
    pub file: &'static str,
    /// Builds it from its own table of options; unknown options are errors.
    pub build: fn(&toml::Table) -> Result<Box<P>, OptionsError>,
    /// Its options with every default written out; fails as `build` does.
    pub resolve: fn(&toml::Table) -> Result<toml::Table, OptionsError>,
    /// Its options: names, defaults, meanings.
    pub options: fn() -> Options,
    /// Aliases, each for this plugin with one option set: (name, option, value as TOML or as text).
    pub aliases: &'static [(&'static str, &'static str, &'static str)],
}

/// A kind of plugin: implemented for the trait objects, `dyn Quantizer` and so on.
pub trait Kind: 'static {
    /// Name of the kind in commands and configs.
    const NAME: &'static str;
    /// Everything registered, in no particular order.
    fn registered() -> Vec<&'static Entry<Self>>;
}

/// Why a plugin is not available.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such name.
    #[error("no {kind} is called {name:?}{nearest}; there are: {known}")]
    Unknown {
        /// Kind of plugin.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// A name that is close, in words.
        nearest: String,
        /// All names.
        known: String,
    },
    /// The plugins are not linked in.
    #[error(
        "no {kind} is registered: no plugin crate is linked into this program; write `use limpq_plugins as _;` in its main file"
    )]
    Empty {
        /// Kind of plugin.
        kind: &'static str,
    },
    /// Two plugins under one name.
    #[error("two {kind} plugins are called {name:?} ({first} and {second}); rename one of them")]
    Duplicate {
        /// Kind of plugin.
        kind: &'static str,
        /// The name.
        name: &'static str,
        /// Where the first is.
        first: &'static str,
        /// Where the second is.
        second: &'static str,
    },
    /// A plugin's options are wrong.
    #[error("{kind} {name:?}: {error}")]
    Options {
        /// Kind of plugin.
        kind: &'static str,
        /// Name of the plugin.
        name: String,
        /// What is wrong.
        error: OptionsError,
    },
}

/// All plugins of a kind, sorted by name.
///
/// # Errors
/// When none is linked in, or two have the same name.
pub fn entries<P: ?Sized + Kind>() -> Result<Vec<&'static Entry<P>>, RegistryError> {
    sorted(P::registered())
}

fn sorted<P: ?Sized + Kind>(mut all: Vec<&'static Entry<P>>) -> Result<Vec<&'static Entry<P>>, RegistryError> {
    all.sort_by_key(|entry| (entry.name, entry.file));
    if all.is_empty() {
        return Err(RegistryError::Empty { kind: P::NAME });
    }
    let mut names: Vec<(&str, &str)> = all.iter().flat_map(|e| names(e).map(|name| (name, e.file))).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => {
            Err(RegistryError::Duplicate { kind: P::NAME, name: pair[0].0, first: pair[0].1, second: pair[1].1 })
        }
        None => Ok(all),
    }
}

fn names<P: ?Sized>(entry: &'static Entry<P>) -> impl Iterator<Item = &'static str> {
    std::iter::once(entry.name).chain(entry.aliases.iter().map(|alias| alias.0))
}

/// The plugin of a kind that has this name or alias.
///
/// # Errors
/// An unknown name lists what exists and the nearest match.
pub fn find<P: ?Sized + Kind>(name: &str) -> Result<&'static Entry<P>, RegistryError> {
    let all = entries::<P>()?;
    if let Some(entry) = all.iter().find(|entry| names(entry).any(|known| known == name)) {
        return Ok(entry);
    }
    let known: Vec<&str> = all.iter().flat_map(|entry| names(entry)).collect();
    let nearest = nearest(name, known.iter().copied()).map(|n| format!(" (did you mean {n:?}?)")).unwrap_or_default();
    Err(RegistryError::Unknown { kind: P::NAME, name: name.to_owned(), nearest, known: known.join(", ") })
}

/// Builds the plugin of this name from its options.
///
/// # Errors
/// An unknown name, an unknown option, or an option of the wrong type.
pub fn build<P: ?Sized + Kind>(name: &str, options: &toml::Table) -> Result<Box<P>, RegistryError> {
    let entry = find::<P>(name)?;
    (entry.build)(&with_alias(entry, name, options)).map_err(|error| wrong::<P>(name, error))
}

/// The options of the plugin of this name, every default written out.
///
/// # Errors
/// As [`build`].
pub fn resolve<P: ?Sized + Kind>(name: &str, options: &toml::Table) -> Result<toml::Table, RegistryError> {
    let entry = find::<P>(name)?;
    (entry.resolve)(&with_alias(entry, name, options)).map_err(|error| wrong::<P>(name, error))
}

fn with_alias<P: ?Sized>(entry: &Entry<P>, name: &str, options: &toml::Table) -> toml::Table {
    let mut options = options.clone();
    if let Some((_, option, value)) = entry.aliases.iter().find(|alias| alias.0 == name) {
        let value = value.parse().unwrap_or_else(|_| toml::Value::String((*value).to_owned()));
        options.insert((*option).to_owned(), value);
    }
    options
}

fn wrong<P: ?Sized + Kind>(name: &str, error: OptionsError) -> RegistryError {
    RegistryError::Options { kind: P::NAME, name: name.to_owned(), error }
}

/// Longest name that is looked up.
const LONGEST_NAME: usize = 200;

/// The closest of several names, if one is close.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let closeness = |other: &str| strsim::jaro_winkler(name, other);
    // Longer names are not typing errors, and take long to compare.
    let known = known.into_iter().filter(|other| other.len() <= LONGEST_NAME && name.len() <= LONGEST_NAME);
    let best = known.max_by(|a, b| closeness(a).total_cmp(&closeness(b)))?;
    (closeness(best) > 0.75).then_some(best)
}

/// Checks, at the start of a program, that plugins are linked in and do not clash.
///
/// # Errors
/// A clash in any kind, else the first kind without any plugin.
pub fn check() -> Result<(), RegistryError> {
    let mut kinds: Vec<&AnyKind> = inventory::iter::<AnyKind>.into_iter().collect();
    kinds.sort_by_key(|kind| kind.name);
    let faults = kinds.into_iter().filter_map(|kind| (kind.check)().err());
    let (clashes, others): (Vec<_>, Vec<_>) =
        faults.partition(|error| matches!(error, RegistryError::Duplicate { .. }));
    clashes.into_iter().chain(others).next().map_or(Ok(()), Err)
}

/// A kind of plugin, whatever its trait.
pub struct AnyKind {
    /// Its name.
    pub name: &'static str,
    /// Checks that its plugins do not clash and are not missing.
    pub check: fn() -> Result<(), RegistryError>,
}

inventory::collect!(AnyKind);

/// Declares a trait to be a kind of plugin.
macro_rules! kind {
    ($trait:path, $name:literal) => {
        ::inventory::collect!($crate::registry::Entry<dyn $trait>);
        ::inventory::submit! {
            $crate::registry::AnyKind {
                name: $name,
                check: || $crate::registry::entries::<dyn $trait>().map(drop),
            }
        }
        impl $crate::registry::Kind for dyn $trait {
            const NAME: &'static str = $name;
            fn registered() -> Vec<&'static $crate::registry::Entry<Self>> {
                ::inventory::iter::<$crate::registry::Entry<dyn $trait>>.into_iter().collect()
            }
        }
    };
}
pub(crate) use kind;

/// Registers a plugin: its kind (a trait), its name, one line about it, and its type, which implements the trait and
/// holds its options (`Default`, `Serialize`, `Deserialize` with `deny_unknown_fields`, `JsonSchema`).
///
/// A list of aliases may follow: `("average_weight_bits", "of", "weights")` is this plugin with option `of` set.
#[macro_export]
macro_rules! plugin {
    ($kind:path, $name:literal, $about:literal, $options:ty $(, $alias:expr)* $(,)?) => {
        $crate::inventory::submit! {
            $crate::registry::Entry::<dyn $kind> {
                name: $name,
                about: $about,
                file: file!(),
                build: |table| Ok(::std::boxed::Box::new($crate::options::parse::<$options>(table)?)),
                resolve: $crate::options::resolve::<$options>,
                options: $crate::options::describe::<$options>,
                aliases: &[$($alias),*],
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Animal {}
    impl Kind for dyn Animal {
        const NAME: &'static str = "animal";
        fn registered() -> Vec<&'static Entry<Self>> {
            vec![]
        }
    }
    const fn animal(name: &'static str, file: &'static str) -> Entry<dyn Animal> {
        Entry {
            name,
            about: "",
            file,
            build: |_| unreachable!(),
            resolve: |_| unreachable!(),
            options: Options::default,
            aliases: &[("dup", "", "")],
        }
    }

    #[test]
    fn an_empty_registry_says_that_no_plugin_crate_is_linked() {
        let error = find::<dyn Animal>("cat").err().unwrap().to_string();
        assert!(error.contains("no animal is registered") && error.contains("use limpq_plugins as _;"), "{error}");
    }

    #[test]
    fn two_plugins_of_one_name_are_refused() {
        static CAT: Entry<dyn Animal> = animal("cat", "cat.rs");
        static DUP: Entry<dyn Animal> = Entry { aliases: &[], ..animal("dup", "dup.rs") };
        let error = sorted(vec![&CAT, &DUP]).err().unwrap().to_string();
        assert_eq!(error, "two animal plugins are called \"dup\" (cat.rs and dup.rs); rename one of them");
    }

    #[test]
    fn listing_is_sorted() {
        static B: Entry<dyn Animal> = Entry { aliases: &[], ..animal("b", "b.rs") };
        static A: Entry<dyn Animal> = Entry { aliases: &[], ..animal("a", "a.rs") };
        let names: Vec<_> = sorted(vec![&B, &A]).ok().unwrap().iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn nearest_needs_some_likeness() {
        assert_eq!(nearest("resnet19", ["resnet18", "mobilenet_v1"]), Some("resnet18"));
        assert_eq!(nearest("zzz", ["resnet18", "mobilenet_v1"]), None);
    }
}
