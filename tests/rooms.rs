//! The rooms of `src`: who may import whom, and how long a file may be. `ARCHITECTURE.md` has the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the bottom up. A file imports from its own room and from those before it.
const ROOMS: [&str; 23] = [
    "sync",
    "time",
    "feedback",
    "error",
    "events",
    "rate",
    "coop",
    "blocking",
    "raw",
    "semaphore",
    "tokens",
    "usage",
    "limiter_core",
    "window",
    "token_window",
    "limiter",
    "hold",
    "tower",
    "policy",
    "provider",
    "pool",
    "guide",
    "lib",
];

/// A reader should be able to keep one in mind.
const MOST_LINES: usize = 400;

/// Product files by module path (`raw::window::ring`), with their text.
fn files() -> BTreeMap<String, String> {
    fn walk(folder: &Path, module: &str, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("src is there") {
            let path = entry.expect("src can be read").path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let module = if module.is_empty() { name.into() } else { format!("{module}::{name}") };
            match module.as_str() {
                "tests" => {}
                _ if path.is_dir() => walk(&path, &module, files),
                _ => drop(files.insert(module, fs::read_to_string(path).unwrap())),
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 20, "not the sources: {:?}", files.keys());
    files
}

/// Without comments, docs and re-exports.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let statements = code.split_inclusive(';');
    statements.filter(|statement| !is_reexport(statement)).collect()
}

fn is_reexport(statement: &str) -> bool {
    let begins = |line: &str| line.starts_with("pub use ") || line.starts_with("pub(crate) use ");
    statement.lines().any(|line| begins(line.trim_start()))
}

/// The paths that begin with `crate` or `super`, one for each leaf of a group.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                found.extend(leaves(&code[at..]));
            }
        }
    }
    found
}

fn leaves(text: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_path(c)).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let Some(group) = rest.strip_prefix('{').filter(|_| path.ends_with("::")) else {
        return vec![path.trim_end_matches(':').to_owned()];
    };
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        if depth == 0 && (c == ',' || c == '}') {
            let leaf = group[from..at].trim();
            let under = leaves(leaf).into_iter().filter(|leaf| !leaf.is_empty());
            found.extend(under.map(|leaf| format!("{path}{leaf}")));
            from = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// The file that a path leads to.
fn target(path: &str, from: &str, files: &BTreeMap<String, String>) -> Option<String> {
    let mut module: Vec<&str> = from.split("::").collect();
    for part in path.split("::") {
        match part {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ => module.push(part),
        }
    }
    // The last parts are items.
    while !module.is_empty() {
        let name = module.join("::");
        if files.contains_key(&name) {
            return (name != from).then_some(name);
        }
        module.pop();
    }
    None
}

fn imports(files: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<String>> {
    let of = |(from, text): (&String, &String)| {
        paths(&code(text)).iter().filter_map(|path| target(path, from, files)).collect()
    };
    files.iter().map(|file| (&**file.0, of(file))).collect()
}

fn room(module: &str) -> usize {
    let first = module.split("::").next().unwrap();
    let number = ROOMS.iter().position(|room| *room == first);
    number.unwrap_or_else(|| panic!("{module} is in none of the rooms: give it a place in `ROOMS`"))
}

/// Broken by: a `use crate::limiter::…` in a file under `raw`.
#[test]
fn no_file_imports_from_a_room_above_its_own() {
    let files = files();
    let all = imports(&files);
    assert!(all["limiter_core::shared"].contains("raw::window"), "imports are not found");
    for (from, targets) in all.into_iter().filter(|(from, _)| *from != "lib") {
        for to in targets {
            assert!(room(&to) <= room(from), "{from} imports from {to}, which is above");
        }
    }
}

/// Broken by: a `use super::permit::…` in `limiter.rs`, whose children use it.
#[test]
fn no_files_import_one_another_in_a_circle() {
    fn visit<'a>(
        at: &'a str,
        all: &'a BTreeMap<&str, BTreeSet<String>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) {
        assert!(!way.contains(&at), "a circle: {way:?} and back to {at}");
        if done.contains(at) {
            return;
        }
        way.push(at);
        for to in &all[at] {
            visit(to, all, way, done);
        }
        way.pop();
        done.insert(at);
    }
    let files = files();
    let all = imports(&files);
    let mut done = BTreeSet::new();
    for from in all.keys().filter(|from| **from != "lib") {
        visit(from, &all, &mut Vec::new(), &mut done);
    }
}

#[test]
fn no_file_is_too_long_to_keep_in_mind() {
    for (module, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{module} has {lines} lines, more than {MOST_LINES}");
    }
}
