//! Checks README and the book: commands work, configs are valid, links lead somewhere, and option tables are those of
//! the registry.

mod commands;
mod links;
mod options;

use std::path::{Path, PathBuf};

/// The folder of the book's pages.
const BOOK: &str = "docs/src";

/// A Markdown file of this repository.
struct Page {
    /// Its path, relative to the root.
    path: PathBuf,
    text: String,
}

/// A fenced block of a page.
struct Block<'a> {
    /// The word behind the fence: `sh`, `toml`.
    language: &'a str,
    /// Whether the line before the fence is `<!-- test: run -->`: its commands are not only checked but run.
    run: bool,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: impl Into<PathBuf>) -> Page {
    let path = path.into();
    let text = std::fs::read_to_string(root().join(&path));
    Page { text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())), path }
}

/// Every page of the book, sorted by path.
fn book() -> Vec<Page> {
    let (mut pages, mut open) = (vec![], vec![PathBuf::from(BOOK)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("the book's folder can be read") {
            let path = folder.join(entry.expect("a readable folder").file_name());
            match path.extension() {
                Some(extension) if extension == "md" => pages.push(page(path)),
                None => open.push(path),
                Some(_) => {}
            }
        }
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(pages.len() > 20, "only {} pages in {BOOK}", pages.len());
    pages
}

/// README, then the book.
fn manual() -> Vec<Page> {
    std::iter::once(page("README.md")).chain(book()).collect()
}

/// The same, and what else users read in the root.
fn all() -> Vec<Page> {
    manual().into_iter().chain(["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(page)).collect()
}

impl Page {
    /// Its fenced blocks.
    fn blocks(&self) -> Vec<Block<'_>> {
        let (mut blocks, mut open, mut before) = (vec![], None::<Block>, "");
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let run = before == "<!-- test: run -->";
                    open = Some(Block { language, run, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
            before = line;
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.path.display());
        blocks
    }

    /// Its lines outside of fenced blocks, with their numbers from 1.
    fn prose(&self) -> Vec<(usize, &str)> {
        let (mut lines, mut fenced) = (vec![], false);
        for (index, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                lines.push((index + 1, line));
            }
        }
        lines
    }
}
