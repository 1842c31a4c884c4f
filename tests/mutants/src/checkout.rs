//! The files, and a copy of them to break.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The one this program was built from.
    pub(crate) fn here() -> Self {
        Self { root: Path::new(env!("CARGO_MANIFEST_DIR")).join("../..") }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn read(&self, file: &str) -> String {
        let path = self.root.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.root.join(file), text).expect("the copy can be written");
    }

    /// Puts a file back as it is in the checkout.
    pub(crate) fn restore(&self, file: &str) {
        self.write(file, &Self::here().read(file));
    }

    /// All files that are under version control, as they are now.
    pub(crate) fn copy(&self) -> Self {
        let root = self.root.join("target/mutants");
        let files = self.files();
        // What has moved since the last run would be there twice.
        for folder in ["src", "tests", "examples", "crates"] {
            remove_others(&root, Path::new(folder), &files);
        }
        for file in files {
            let (from, to) = (self.root.join(&file), root.join(&file));
            let Ok(text) = fs::read(&from) else { continue };
            // What has not changed keeps its time, and is not built again.
            if fs::read(&to).is_ok_and(|there| there == text) {
                continue;
            }
            fs::create_dir_all(to.parent().expect("a file is in a directory")).expect("made");
            fs::write(&to, text).expect("the copy can be written");
        }
        Self { root }
    }

    /// The product's files and their texts.
    pub(crate) fn sources(&self) -> Vec<(String, String)> {
        let is_source = |file: &String| {
            let is_rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
            is_rust && file.starts_with("src/") && !file.starts_with("src/tests")
        };
        let read = |file: String| {
            let text = self.read(&file);
            (file, text)
        };
        self.files().into_iter().filter(is_source).map(read).collect()
    }

    fn files(&self) -> Vec<String> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let listed = git.current_dir(&self.root).output().expect("git lists the files");
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
    }
}

/// Removes the files of a folder in the copy that are not among these.
fn remove_others(root: &Path, folder: &Path, files: &[String]) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            remove_others(root, &path, files);
        } else if !files.iter().any(|file| Path::new(file) == path) {
            fs::remove_file(entry.path()).expect("the copy can be changed");
        }
    }
}
