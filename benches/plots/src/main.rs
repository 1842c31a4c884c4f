//! Runs the benches and draws what criterion has measured, from its own files.
//!
//! ```text
//! cargo run --release --manifest-path benches/plots/Cargo.toml                # measure and draw
//! cargo run --release --manifest-path benches/plots/Cargo.toml -- --draw-only
//! ```
//!
//! Dots are medians, bars their 95 % confidence intervals; the quartiles where the windows of tokens are compared.

mod measured;
mod picture;

use clap::Parser;
use measured::Measured;
use picture::{Axis, Picture};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs the benches and draws what criterion has measured
#[derive(Debug, Parser)]
struct Flags {
    /// Draw what an earlier run has measured
    #[arg(long)]
    draw_only: bool,

    /// Where criterion's files are [default: in the library's target directory]
    #[arg(long, value_name = "DIR")]
    criterion: Option<PathBuf>,

    /// Where the pictures go [default: the library's docs/pictures]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Otherwise the benches would write to another directory than the one this program reads.
    let target = env::var_os("CARGO_TARGET_DIR").map_or(library.join("target"), PathBuf::from);
    let criterion = flags.criterion.unwrap_or(target.join("criterion"));
    let out = flags.out.unwrap_or(library.join("docs/pictures"));
    let tokens = criterion.join("tokens.csv");
    if !flags.draw_only {
        run_benches(&library, &target)?;
        compare_tokens(&library, &tokens)?;
    }
    let mut measured = Measured::read(&criterion)?;
    measured.read_table(&tokens)?;
    std::fs::create_dir_all(&out)?;
    for picture in pictures() {
        let path = out.join(picture.file);
        picture.draw(&measured, &path)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The one that runs this.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
}

fn run_benches(library: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let status = cargo()
        .args(["bench", "--locked", "-p", "ringgate", "-p", "ringgate-oxi-ai"])
        .args(["--bench", "original", "--bench", "pool"])
        .arg("--manifest-path")
        .arg(library.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if status.success() { Ok(()) } else { Err("the benches failed".into()) }
}

/// The comparison has rivals in its tree, so it is a package of its own.
fn compare_tokens(library: &Path, table: &Path) -> Result<(), Box<dyn Error>> {
    let output = cargo()
        .args(["bench", "--locked", "--bench", "tokens", "--manifest-path"])
        .arg(library.join("benches/compare/Cargo.toml"))
        .args(["--", "--csv"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the comparison failed".into());
    }
    Ok(std::fs::write(table, output.stdout)?)
}

fn pictures() -> [Picture; 6] {
    [
        Picture {
            file: "check-and-record.svg",
            title: "Both limits checked and recorded, window full, 1 thread",
            group: "check_and_record/1_threads",
            lines: &["original", "ringgate"],
            x: Axis { title: "requests per minute allowed", logarithmic: true },
            y: Axis { title: "ns per call", logarithmic: true },
            value: |point, nanos| (point.parameter, nanos),
        },
        Picture {
            file: "pool-stream.svg",
            title: "One whole pool.stream() call on a provider that is ready",
            group: "pool_stream",
            lines: &["original", "ringgate as dyn Provider", "ringgate", "no pool"],
            x: Axis { title: "requests per minute allowed", logarithmic: true },
            y: Axis { title: "ns per call", logarithmic: true },
            value: |point, nanos| (point.parameter, nanos),
        },
        Picture {
            file: "throughput.svg",
            title: "Calls of all threads together, 600 per minute allowed",
            group: "throughput",
            lines: &["original", "ringgate"],
            x: Axis { title: "threads (on the cores of the machine)", logarithmic: false },
            y: Axis { title: "million calls per second", logarithmic: false },
            value: |point, nanos| (point.parameter, 1e3 * point.elements / nanos),
        },
        Picture {
            file: "waiting.svg",
            title: "From one call to the next when all stand in line for 4 slots",
            group: "waiting",
            lines: &["original", "ringgate"],
            x: Axis { title: "tasks", logarithmic: true },
            y: Axis { title: "ns per call", logarithmic: false },
            value: |point, nanos| (point.parameter, nanos),
        },
        Picture {
            file: "tokens-admit.svg",
            title: "Tokens by the system's clock: one call admitted",
            group: "tokens: admit, system",
            lines: &["mutex log", "throttle-net", "ringgate"],
            x: Axis { title: "threads", logarithmic: false },
            y: Axis { title: "ns per call of each thread", logarithmic: false },
            value: |point, nanos| (point.parameter, nanos),
        },
        Picture {
            file: "tokens-settle.svg",
            title: "Tokens without a clock: one call admitted, half of it given back",
            group: "tokens: admit and settle, none",
            lines: &["mutex log", "ringgate"],
            x: Axis { title: "threads", logarithmic: false },
            y: Axis { title: "ns per call of each thread", logarithmic: false },
            value: |point, nanos| (point.parameter, nanos),
        },
    ]
}
