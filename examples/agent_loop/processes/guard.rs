//! The guard: a process that ends the others when the first one has ended.
//!
//! A process that is stopped cannot see that its parent has gone, and a store does not look. The guard reads from a pipe
//! whose other end only the first process has. When that is closed, by whatever end, it kills all processes that it was told
//! of, and removes the folder.

use super::signals::{self, Signal};
use core::cell::RefCell;
use core::error::Error;
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Instant;

/// How long the end of the guard is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(5);

/// The first process's side.
pub(crate) struct Guard {
    process: Child,
    pipe: RefCell<Box<dyn Write>>,
}

impl Guard {
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // Its output would keep a pipe open that others read from.
        command.arg("--guard").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C goes to a whole group.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn()?;
        let pipe = process.stdin.take().ok_or_else(|| io::Error::other("the guard has no pipe"))?;
        Ok(Self { process, pipe: RefCell::new(Box::new(pipe)) })
    }

    /// This process is to be killed at the end.
    pub(crate) fn watch(&self, id: u32) -> io::Result<()> {
        self.tell(&format!("+{id}"))
    }

    /// This one is dead, and not yet waited for: its id is still its own.
    pub(crate) fn forget(&self, id: u32) -> io::Result<()> {
        self.tell(&format!("-{id}"))
    }

    /// This folder is to be removed at the end.
    pub(crate) fn remove(&self, folder: &Path) -> io::Result<()> {
        self.tell(&format!("/{}", folder.display()))
    }

    fn tell(&self, what: &str) -> io::Result<()> {
        let mut pipe = self.pipe.borrow_mut();
        writeln!(pipe, "{what}")?;
        pipe.flush()
    }

    /// All that is left ends now.
    pub(crate) fn end(&mut self) {
        self.pipe.replace(Box::new(io::sink()));
        let too_late = Instant::now() + PATIENCE;
        while Instant::now() < too_late && matches!(self.process.try_wait(), Ok(None)) {
            sleep(TICK);
        }
    }
}

/// The guard's side.
pub(crate) fn watch() -> Result<ExitCode, Box<dyn Error>> {
    let mut ids = BTreeSet::new();
    let mut folder = None;
    for line in io::stdin().lines() {
        // A pipe that cannot be read is as good as closed.
        let Ok(line) = line else { break };
        match (line.get(..1), line.get(1..).map(str::parse)) {
            (Some("+"), Some(Ok(id))) => _ = ids.insert(id),
            (Some("-"), Some(Ok(id))) => _ = ids.remove(&id),
            (Some("/"), _) => folder = line.get(1..).map(str::to_owned),
            _ => {}
        }
    }
    for id in ids {
        // It may have ended by itself.
        let _ = signals::send(id, Signal::Kill);
    }
    folder.map_or(Ok(()), |folder| remove(Path::new(&folder)))?;
    Ok(ExitCode::SUCCESS)
}

/// A process that was just killed may still write.
fn remove(folder: &Path) -> io::Result<()> {
    let too_late = Instant::now() + PATIENCE / 2;
    while let Err(error) = fs::remove_dir_all(folder) {
        if error.kind() == io::ErrorKind::NotFound {
            break;
        }
        if Instant::now() > too_late {
            return Err(error);
        }
        sleep(TICK);
    }
    Ok(())
}
