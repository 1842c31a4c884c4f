//! What a mutant meets.

use crate::Kind;
use crate::checkout::Checkout;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) enum Verdict {
    Caught(String),
    Survived,
}

/// How it ends that has to be stopped.
const ENDLESS: &str = " (which does not end)";

/// The models, the quickest first.
pub(crate) struct Checks {
    models: Vec<(String, Duration)>,
}

impl Checks {
    /// Builds those that these files need and times them where nothing is broken yet; what takes
    /// longer than `under` is left out.
    pub(crate) fn of(copy: &Checkout, files: &[&str], under: Duration) -> Self {
        let binary = build(copy, "loom").expect("the models build");
        let listed = Command::new(&binary).arg("--list").output().expect("the models are listed");
        let listed = String::from_utf8_lossy(&listed.stdout);
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let parts: Vec<_> = files.iter().flat_map(|file| parts(file)).collect();
        let timed = |name: &str| {
            let start = Instant::now();
            match run(Command::new(&binary).args(["--exact", name]), under) {
                Ok(()) => Some((name.to_owned(), start.elapsed())),
                Err(ENDLESS) => None,
                Err(how) => panic!("{name} fails where nothing is broken{how}"),
            }
        };
        let mut models: Vec<_> = names
            .filter(|name| parts.iter().any(|part| name.starts_with(*part)))
            .filter_map(timed)
            .collect();
        models.sort_by_key(|(_, time)| *time);
        eprintln!("{} models pass where nothing is broken", models.len());
        Self { models }
    }

    pub(crate) fn meet(&self, copy: &Checkout, file: &str, kind: Kind) -> Verdict {
        let Some(binary) = build(copy, "loom") else {
            return Verdict::Caught("the compiler".to_owned());
        };
        let parts = parts(file);
        for (name, time) in &self.models {
            if !parts.iter().any(|part| name.starts_with(part)) {
                continue;
            }
            let patience = *time * 10 + Duration::from_secs(10);
            if let Err(how) = run(Command::new(&binary).args(["--exact", name]), patience) {
                return Verdict::Caught(format!("{name}{how}"));
            }
        }
        if kind == Kind::Ordering { Verdict::Survived } else { on_threads(copy) }
    }
}

/// The models that go through this file.
fn parts(file: &str) -> &'static [&'static str] {
    match file {
        _ if file.starts_with("src/raw/semaphore") || file.starts_with("src/semaphore") => &[
            "tests::loom::semaphore::",
            "tests::loom::claims::",
            "tests::pairs::semaphore::",
            "tests::pairs::claims::",
            "tests::loom::limiter::",
        ],
        _ if file.starts_with("src/raw/window") || file.starts_with("src/window") => {
            &["tests::loom::window::", "tests::pairs::window::"]
        }
        _ if file.starts_with("src/raw/leases") => {
            &["tests::loom::leases::", "tests::pairs::leases::"]
        }
        "src/limiter_core/bell.rs" | "src/limiter/lessee.rs" => {
            &["tests::loom::leases::", "tests::pairs::leased::"]
        }
        _ if file.starts_with("src/raw/tokens") => {
            &["tests::loom::tokens::", "tests::pairs::tokens::"]
        }
        _ => &["tests::loom::limiter::", "tests::pairs::limiter::"],
    }
}

fn on_threads(copy: &Checkout) -> Verdict {
    const PATIENCE: Duration = Duration::from_mins(5);
    for kind in ["freeze", "shuttle"] {
        let Some(binary) = build(copy, kind) else { continue };
        if let Err(how) = run(Command::new(binary).arg(kind), PATIENCE) {
            return Verdict::Caught(format!("cargo {kind}{how}"));
        }
    }
    let mut tests = Command::new("cargo");
    tests.args(["test", "--quiet", "--locked", "-p", "ringgate", "--lib", "--tests"]);
    tests.current_dir(copy.root());
    match run(&mut tests, PATIENCE) {
        Err(how) => Verdict::Caught(format!("cargo test{how}")),
        Ok(()) => Verdict::Survived,
    }
}

/// Builds the tests under other primitives; returns the program.
fn build(copy: &Checkout, kind: &str) -> Option<std::path::PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "-p", "ringgate", "--lib", "--no-run", "--profile", "models"]);
    cargo.args(["--target-dir", &format!("target/{kind}")]);
    cargo.args(["--config", &format!("build.rustflags=['--cfg','ringgate_{kind}']")]);
    // Each mutant is built anew: quickly.
    cargo.env("CARGO_PROFILE_MODELS_OPT_LEVEL", "1");
    cargo.env("CARGO_PROFILE_MODELS_INCREMENTAL", "true");
    let built = cargo.current_dir(copy.root()).output().expect("cargo runs");
    let said = String::from_utf8_lossy(&built.stderr);
    let program = said.lines().rev().find_map(|line| {
        line.trim().strip_prefix("Executable unittests src/lib.rs (")?.strip_suffix(')')
    })?;
    built.status.success().then(|| copy.root().join(program))
}

/// Whether it ends well, or how it does not.
fn run(command: &mut Command, patience: Duration) -> Result<(), &'static str> {
    // In the models' long form, if they have one.
    command
        .env("RUST_BACKTRACE", "0")
        .env("RINGGATE_MODELS", "long")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().expect("it starts");
    loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(""),
            None if start.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ENDLESS);
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}
