//! Signals to other processes.

use std::io;

/// What may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Kill,
    Stop,
    Continue,
}

/// Whether there are signals on this system.
pub(crate) const POSSIBLE: bool = cfg!(unix);

/// Sends it to the process with this id.
#[cfg(unix)]
pub(crate) fn send(id: u32, signal: Signal) -> io::Result<()> {
    use rustix::process::{Pid, Signal as System, kill_process};

    // Neither this process's group nor all processes.
    let id = i32::try_from(id).ok().filter(|id| *id > 1).and_then(Pid::from_raw);
    let id = id.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let signal = match signal {
        Signal::Kill => System::KILL,
        Signal::Stop => System::STOP,
        Signal::Continue => System::CONT,
    };
    Ok(kill_process(id, signal)?)
}

/// There are none.
#[cfg(not(unix))]
pub(crate) fn send(_: u32, _: Signal) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
