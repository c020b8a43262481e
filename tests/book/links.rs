//! Links, contents and lines of README and the book.

use super::{BOOK, Page, all, book, page, root};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

impl Page {
    /// Where its links lead, with the line that each is in.
    fn links(&self) -> Vec<(usize, String)> {
        let in_line = |(number, line): (usize, &str)| -> Vec<(usize, String)> {
            // Code within a line has no links.
            let prose: String = line.split('`').step_by(2).collect();
            let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.map(|target| (number, target.to_owned())).collect()
        };
        self.prose().into_iter().flat_map(in_line).collect()
    }

    /// The anchors of its headings, as mdBook and GitHub make them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        let anchor = |(_, line): (usize, &str)| {
            let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut parts = vec![];
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts.into_iter().collect()
}

#[test]
fn links_lead_to_what_is_there() {
    let mut checked = 0;
    for from in all() {
        for (line, target) in from.links() {
            if target.starts_with("https://") {
                continue;
            }
            let place = format!("{}:{line}: {target}", from.path.display());
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = from.path.parent().expect("a page is in a folder");
            let to = if file.is_empty() { from.path.clone() } else { plain(&folder.join(file)) };
            assert!(root().join(&to).exists(), "{place} is not there");
            let inside = !from.path.starts_with(BOOK) || to.starts_with(BOOK);
            assert!(inside, "{place} leads out of the book; write the path as code");
            let known = anchor.is_empty() || page(&to).anchors().contains(anchor);
            assert!(known, "{place}: no such heading; there are {:?}", page(&to).anchors());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found");
}

#[test]
fn the_contents_name_every_page_once() {
    let summary = page(format!("{BOOK}/SUMMARY.md"));
    let mut named: Vec<PathBuf> = summary.links().iter().map(|(_, target)| Path::new(BOOK).join(target)).collect();
    named.sort();
    let pages: Vec<PathBuf> = book().into_iter().map(|page| page.path).filter(|path| *path != summary.path).collect();
    assert_eq!(named, pages);
}

/// rustdoc compiles the Rust blocks of the pages that `plugins/lib.rs` includes.
#[test]
fn every_rust_example_is_compiled() {
    let included = page("plugins/lib.rs").text;
    let examples: Vec<Page> =
        all().into_iter().filter(|page| page.blocks().iter().any(|block| block.language == "rust")).collect();
    assert!(examples.len() >= 6, "only {} pages have examples", examples.len());
    for page in examples {
        let path = page.path.display().to_string();
        assert!(included.contains(&format!("\"../{path}\"")), "plugins/lib.rs does not include {path}");
    }
}

#[test]
fn lines_are_no_longer_than_120_characters() {
    for page in all().into_iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        for (line, text) in page.prose() {
            // A row of a table cannot be wrapped.
            let long = text.chars().count() > 120 && !text.starts_with('|');
            assert!(!long, "{}:{line}: {} characters", page.path.display(), text.chars().count());
        }
    }
}

#[test]
fn the_readme_is_short() {
    assert!(page("README.md").text.lines().count() <= 150, "the manual is the book");
}
