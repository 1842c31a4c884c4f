//! The pages of the guide: each is shown, tested and found, and links lead to the same place in rustdoc and in a repository browser.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FIRST: &str = "docs/guide.md";

/// What a link leads to: a page, as a path from the root, and a heading of it or nothing.
type Target = (PathBuf, String);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the pages below the first one, without `.md`.
fn names() -> Vec<String> {
    let files = fs::read_dir(root().join("docs/guide")).expect("the pages are there");
    let paths = files.map(|file| file.expect("a page can be read").path());
    let names: Vec<String> =
        paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.len() > 10, "not the pages: {names:?}");
    names
}

fn path_of(name: &str) -> PathBuf {
    format!("docs/guide/{name}.md").into()
}

fn pages() -> Vec<PathBuf> {
    names().iter().map(|name| path_of(name)).chain([FIRST.into()]).collect()
}

/// Without its code: there, `#` begins a line that is not shown.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut parts = Vec::new();
    for part in path.components() {
        match part.as_os_str().to_str() {
            Some("..") => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.into_iter().collect()
}

/// The labels of a text with what they are defined as.
fn definitions(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    lines.collect()
}

fn target(link: &str, resolve: impl Fn(&str) -> PathBuf) -> Target {
    let (page, heading) = link.split_once('#').unwrap_or((link, ""));
    (resolve(page), heading.to_owned())
}

/// Where a page's own definitions lead.
fn in_a_browser(page: &Path, text: &str) -> BTreeMap<String, Target> {
    let resolve = |link: &str| plain(&page.parent().unwrap().join(link));
    let all = definitions(text).into_iter();
    all.map(|(label, link)| (label.to_owned(), target(link, resolve))).collect()
}

/// Where rustdoc's definitions lead.
fn in_rustdoc(text: &str) -> BTreeMap<String, Target> {
    let resolve = |link: &str| match link.strip_prefix("crate::guide") {
        Some("") => FIRST.into(),
        Some(page) => path_of(&page.trim_start_matches("::").replace('_', "-")),
        None => panic!("{link} is no page"),
    };
    let all = definitions(text).into_iter();
    all.map(|(label, link)| (label.to_owned(), target(link, resolve))).collect()
}

/// The links of a text: `[…][label]`, and `[…](link)`.
fn links<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let parts = text.split(open).skip(1);
    parts.map(|part| part.split(close).next().unwrap_or_default()).collect()
}

/// The headings of a text, as links name them.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    lines.map(slug).collect()
}

/// Broken by: a page that is taken out of `src/guide.rs`, of this crate's `lib.rs`, or of the first page.
#[test]
fn every_page_is_shown_and_tested_and_found() {
    let (shown, tested) = (read("src/guide.rs"), read("crates/ringgate-guide/src/lib.rs"));
    let found = in_a_browser(FIRST.as_ref(), &read(FIRST));
    for name in names() {
        let page = format!("page!({}, \"{name}.md\");", name.replace('-', "_"));
        let of_other_crates = page.replace("page!", "page_of_other_crates!");
        let has = |text: &str, line: &str| text.lines().any(|has| has == line);
        let is_shown = [&page, &of_other_crates].map(|line| has(&shown, line));
        assert!(is_shown.contains(&true), "src/guide.rs does not show {name}");
        assert_ne!(is_shown[0], has(&tested, &page), "{name} is tested in one crate");
        let is_found = found.values().any(|target| *target == (path_of(&name), String::new()));
        assert!(is_found, "the first page does not lead to {name}");
    }
}

/// Broken by: another heading in a line of `src/guide/links.md`, or at the end of a page.
#[test]
fn a_link_leads_to_the_same_place_in_rustdoc_and_in_a_browser() {
    let rustdoc = in_rustdoc(&read("src/guide/links.md"));
    for page in pages() {
        for (label, target) in in_a_browser(&page, &read(&page)) {
            assert_eq!(rustdoc.get(&label), Some(&target), "[{label}] of {}", page.display());
        }
    }
}

/// Broken by: a heading that is renamed, a definition that is taken away, a file that is linked without one.
#[test]
fn every_link_has_a_target() {
    let has_heading = |page: &Path, heading: &str| {
        heading.is_empty() || headings(&prose(&read(page))).iter().any(|has| has == heading)
    };
    let mut count = 0;
    for page in pages() {
        let (text, at) = (prose(&read(&page)), page.display());
        let defined = in_a_browser(&page, &text);
        let used = links(&text, "][", ']');
        for label in &used {
            assert!(defined.contains_key(*label), "{at} does not say where [{label}] leads");
        }
        for (label, (to, heading)) in &defined {
            assert!(used.contains(&label.as_str()), "{at} does not use [{label}]");
            assert!(has_heading(to, heading), "{at}: [{label}] leads to no heading");
        }
        for link in links(&text, "](", ')') {
            let is_here = link.strip_prefix('#').is_some_and(|heading| has_heading(&page, heading));
            assert!(
                is_here || link.starts_with("https://"),
                "{at}: {link} leads nowhere in rustdoc"
            );
        }
        count += used.len();
    }
    assert!(count > 20, "links are not found");
}
