//! The store: a server on loopback that is started, stopped and killed.

use super::guard::Guard;
use super::signals::{self, Signal};
use core::error::Error;
use core::time::Duration;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Said where there is none.
pub(crate) const HOW_TO_INSTALL: &str = "no valkey-server or redis-server in the path; install Valkey 8 or Redis 7 or later: \
     apt install valkey-server (or redis-server), brew install valkey";

/// What it is called, the preferred first.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// How long it may take to start or to end, and to answer once.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(10);

/// How often another port is tried.
const TRIES: usize = 3;

/// The first program that is there.
pub(crate) async fn find() -> Option<&'static str> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(Ok(status)) = timeout(PATIENCE, command.status()).await
            && status.success()
        {
            return Some(program);
        }
    }
    None
}

/// A store that is running, or stopped.
pub(crate) struct Store<'a> {
    program: &'a str,
    folder: PathBuf,
    port: u16,
    process: Child,
    guard: &'a Guard,
}

impl<'a> Store<'a> {
    /// Starts one with no data, on a free port.
    pub(crate) async fn start(program: &'a str, guard: &'a Guard) -> Result<Self, Box<dyn Error>> {
        let folder = new_folder()?;
        guard.remove(&folder)?;
        let mut tries = 0;
        loop {
            tries += 1;
            // Somebody else may take it before the store does.
            let port = free_port()?;
            let process = spawn(program, &folder, port, guard)?;
            let mut store = Self { program, folder: folder.clone(), port, process, guard };
            match store.answers().await {
                Ok(()) => return Ok(store),
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => store.kill().await?,
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Until it answers.
    async fn answers(&mut self) -> Result<(), Box<dyn Error>> {
        let too_late = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("{} has ended: {status}", self.program).into());
            }
            // While it reads its data it answers with an error.
            if self.command("PING").await.is_ok_and(|answer| answer.starts_with("+PONG")) {
                return Ok(());
            }
            if Instant::now() > too_late {
                return Err(format!("{} does not answer", self.program).into());
            }
            sleep(TICK).await;
        }
    }

    /// The first line of its answer to a command.
    pub(crate) async fn command(&self, command: &str) -> io::Result<String> {
        let asked = async {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut connection = TcpStream::connect(address).await?;
            connection.write_all(format!("{command}\r\n").as_bytes()).await?;
            let mut answer = Vec::new();
            while !answer.contains(&b'\n') && connection.read_buf(&mut answer).await? > 0 {}
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same; an answer that is an error is one.
    pub(crate) async fn order(&self, command: &str) -> Result<(), Box<dyn Error>> {
        let answer = self.command(command).await?;
        if answer.starts_with('-') || answer.is_empty() {
            return Err(format!("{command}: {answer}").into());
        }
        Ok(())
    }

    /// It ends at once.
    pub(crate) async fn kill(&mut self) -> Result<(), Box<dyn Error>> {
        self.process.start_kill()?;
        self.reap().await
    }

    /// It ends without writing its data, as far as it has not done so already.
    pub(crate) async fn shut_down(&mut self) -> Result<(), Box<dyn Error>> {
        // It closes the connection.
        let _ = self.command("SHUTDOWN NOSAVE").await;
        self.reap().await
    }

    async fn reap(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(id) = self.process.id() {
            self.guard.forget(id)?;
        }
        timeout(PATIENCE, self.process.wait()).await.map_err(|_| "the store does not end")??;
        Ok(())
    }

    /// It starts again, at the same place, with the data that it finds there.
    pub(crate) async fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        self.process = spawn(self.program, &self.folder, self.port, self.guard)?;
        self.answers().await
    }

    /// Removes its data. It must have ended.
    pub(crate) fn empty(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)?;
        private().create(&self.folder)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.process.id().ok_or_else(|| io::Error::other("the store has ended"))?;
        signals::send(id, signal)
    }
}

fn spawn(program: &str, folder: &Path, port: u16, guard: &Guard) -> io::Result<Child> {
    let port = port.to_string();
    let process = Command::new(program)
        .args(["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        // Each change is with the system before it is answered: a kill loses nothing.
        .args(["--appendonly", "yes", "--appendfsync", "no", "--maxmemory-policy", "noeviction"])
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    process.id().map_or(Ok(()), |id| guard.watch(id))?;
    Ok(process)
}

/// Below those that the system gives to connections: while the store is away, whoever looks for it must not get its port.
fn free_port() -> io::Result<u16> {
    let other_each_time = u16::try_from(std::process::id() % 1000).unwrap_or(0) * 20;
    (0..20_000)
        .map(|n| 10_000 + (other_each_time + n) % 20_000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

fn new_folder() -> io::Result<PathBuf> {
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let name = format!("ringgate-agent-loop-{}-{time}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    private().create(&folder)?;
    Ok(folder)
}

/// Folders that nobody else may look into.
fn private() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no mode to set"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}
