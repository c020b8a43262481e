//! The files that the stages of a run write to its folder. They decide which names a record may have, and so which
//! files are ever read, moved or removed.

use super::entry::{CHECKPOINTS, Entry};

/// The files that one stage writes, and its inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Names of the files that it always writes. The first is its result, which is written last.
    pub always: Vec<String>,
    /// Names of the files that it writes in some runs only.
    pub sometimes: Vec<String>,
    /// Names of the files of earlier stages that it reads.
    pub reads: Vec<String>,
    /// Sections or keys of the config that it depends on, besides those that every stage depends on.
    pub settings: Vec<&'static str>,
}

impl Leaves {
    /// All names, those that are always written first.
    pub fn names(&self) -> Vec<&str> {
        self.always.iter().chain(&self.sometimes).map(String::as_str).collect()
    }
}

/// The files of all stages, in execution order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// One entry per stage.
    pub stages: Vec<Leaves>,
    /// Keys of the config that no result depends on.
    pub free: &'static [&'static str],
}

impl Layout {
    /// Whether a name is that of a stage's result.
    pub(super) fn is_result(&self, name: &str) -> bool {
        self.stages.iter().any(|stage| stage.names().contains(&name))
    }

    /// Whether a record may have this entry.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        entry.name().starts_with(CHECKPOINTS) || self.is_result(entry.name())
    }

    /// Names of the results that depend on one of these keys of the config; `None` if all may, because a key belongs to
    /// no stage in particular.
    pub(super) fn depending_on(&self, keys: &[String]) -> Option<Vec<&str>> {
        let of = |stage: &Leaves, key: &str| within(&stage.settings, key);
        if keys.iter().any(|key| !self.stages.iter().any(|stage| of(stage, key))) {
            return None;
        }
        let mut found: Vec<&str> = vec![];
        for stage in &self.stages {
            let read = stage.reads.iter().any(|name| found.contains(&name.as_str()));
            if read || keys.iter().any(|key| of(stage, key)) {
                found.extend(stage.names());
            }
        }
        Some(found)
    }
}

/// Whether a key is one of these, or is in a table of that name.
pub(super) fn within(tables: &[&str], key: &str) -> bool {
    let within = |table: &&str| key.strip_prefix(*table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    tables.iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let stage = |name: &str, reads: &[&str], settings: &[&'static str]| Leaves {
            always: vec![name.to_owned()],
            reads: reads.iter().map(|name| (*name).to_owned()).collect(),
            settings: settings.to_vec(),
            ..Leaves::default()
        };
        let stages =
            vec![stage("a", &[], &["train"]), stage("b", &["a"], &["search"]), stage("c", &["b"], &["tune.more"])];
        Layout { stages, free: &[] }
    }

    #[test]
    fn what_depends_on_a_key_is_what_reads_it_and_what_follows() {
        let of = |key: &str| layout().depending_on(&[key.to_owned()]).map(|names| names.join(" "));
        assert_eq!(of("search.alpha").as_deref(), Some("b c"));
        assert_eq!(of("tune.more").as_deref(), Some("c"));
        assert_eq!(of("train.epochs").as_deref(), Some("a b c"));
        assert_eq!([of("seed"), of("tune.less"), of("searching")], [const { None }; 3]);
    }
}
