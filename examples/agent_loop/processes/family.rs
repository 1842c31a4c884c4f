//! The processes with agents, as the first one sees them.

use super::guard::Guard;
use super::orders::Orders;
use super::report::{Phase, Report};
use super::signals::{self, Signal};
use crate::flags::Flags;
use core::error::Error;
use core::ops::Range;
use core::time::Duration;
use std::io;
use std::process::Stdio;
use std::time::Instant as StdInstant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a process may take to be ready, to end when its agents have, and to die.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long after the last moment for new calls all answers must be there.
const LAST_ANSWERS: Duration = Duration::from_secs(15);

/// All processes with agents.
pub(crate) struct Family<'a> {
    store: &'a str,
    server: &'a str,
    guard: &'a Guard,
    members: Vec<Member>,
    /// Those that were killed.
    dead: Vec<Life>,
}

/// One that lives.
struct Member {
    /// Its place from 0 on, and how many it has taken it over from.
    place: usize,
    life: u32,
    process: Child,
    orders: ChildStdin,
    report: watch::Receiver<Report>,
    /// Since when it may call.
    since: StdInstant,
}

/// What is known of a process at the end.
pub(crate) struct Life {
    pub(crate) name: String,
    /// When it could begin calls.
    pub(crate) time: Range<StdInstant>,
    pub(crate) report: Report,
    /// It was killed on purpose.
    pub(crate) killed: bool,
}

impl<'a> Family<'a> {
    /// Starts them, and waits until they are ready.
    pub(crate) async fn start(
        flags: &Flags,
        store: &'a str,
        server: &'a str,
        guard: &'a Guard,
    ) -> Result<Self, Box<dyn Error>> {
        let (members, dead) = (Vec::new(), Vec::new());
        let mut family = Self { store, server, guard, members, dead };
        for place in 0..flags.processes.unwrap_or(1).into() {
            let member = family.spawn(place, 0)?;
            family.members.push(member);
        }
        let ready = async {
            for member in &mut family.members {
                member.ready().await?;
            }
            Ok::<_, Box<dyn Error>>(())
        };
        timeout(PATIENCE, ready).await.map_err(|_| "the processes are not ready in time")??;
        Ok(family)
    }

    fn spawn(&self, place: usize, life: u32) -> io::Result<Member> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .args(["--child", &name(place, life), "--store", self.store, "--server", self.server])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        process.id().map_or(Ok(()), |id| self.guard.watch(id))?;
        let missing = || io::Error::other("a process without pipes");
        let orders = process.stdin.take().ok_or_else(missing)?;
        let output = process.stdout.take().ok_or_else(missing)?;
        let (tell, report) = watch::channel(Report::default());
        tokio::spawn(read(output, tell));
        Ok(Member { place, life, process, orders, report, since: StdInstant::now() })
    }

    /// Their agents may call until then.
    pub(crate) async fn go(&mut self, until: Instant) -> io::Result<()> {
        for member in &mut self.members {
            member.go(until).await?;
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// By which the server knows them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(Member::name).collect()
    }

    /// Kills the process at this place, and starts another one there, which may call until then.
    pub(crate) async fn replace(
        &mut self,
        place: usize,
        until: Instant,
    ) -> Result<(), Box<dyn Error>> {
        let life = self.members[place].life + 1;
        self.members[place].kill(self.guard).await?;
        let mut new = self.spawn(place, life)?;
        timeout(PATIENCE, new.ready()).await.map_err(|_| "a process is not ready in time")??;
        new.go(until).await?;
        let old = core::mem::replace(&mut self.members[place], new);
        self.dead.push(old.into_life(StdInstant::now(), true));
        Ok(())
    }

    pub(crate) fn signal(&self, place: usize, signal: Signal) -> io::Result<()> {
        self.members[place].signal(signal)
    }

    /// Waits until all have ended by themselves, or too long. `end` is when they could begin their last calls.
    pub(crate) async fn end(mut self, end: Instant) -> Vec<Life> {
        let too_late = end + LAST_ANSWERS;
        for member in &mut self.members {
            let done = member.report.wait_for(|report| report.phase >= Phase::Done);
            // The verdict sees which ones are not.
            let _ = timeout_at(too_late, done).await;
        }
        for member in &mut self.members {
            // One that cannot be killed is left to the guard.
            let _ = member.kill(self.guard).await;
        }
        let lives = self.members.into_iter().map(|member| member.into_life(end.into_std(), false));
        let mut lives: Vec<_> = self.dead.into_iter().chain(lives).collect();
        lives.sort_by(|one, other| one.name.cmp(&other.name));
        lives
    }
}

impl Member {
    fn name(&self) -> String {
        name(self.place, self.life)
    }

    async fn ready(&mut self) -> Result<(), Box<dyn Error>> {
        let name = self.name();
        let report = self.report.wait_for(|report| report.phase >= Phase::Ready).await?;
        if report.phase == Phase::Gone {
            let why = report.failure.as_deref().unwrap_or("it does not say why");
            return Err(format!("process {name} has ended at once: {why}").into());
        }
        Ok(())
    }

    async fn go(&mut self, until: Instant) -> io::Result<()> {
        let now = Instant::now();
        self.since = now.into_std();
        let line = Orders::line(until.saturating_duration_since(now));
        self.orders.write_all(line.as_bytes()).await?;
        self.orders.flush().await
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.process.id().ok_or_else(|| io::Error::other("a process has ended"))?;
        signals::send(id, signal)
    }

    async fn kill(&mut self, guard: &Guard) -> Result<(), Box<dyn Error>> {
        self.process.start_kill()?;
        if let Some(id) = self.process.id() {
            guard.forget(id)?;
        }
        timeout(PATIENCE, self.process.wait()).await.map_err(|_| "a process does not die")??;
        Ok(())
    }

    fn into_life(self, end: StdInstant, killed: bool) -> Life {
        let report = self.report.borrow().clone();
        Life { name: self.name(), time: self.since..end, report, killed }
    }
}

/// `3` is the third process, `3.1` the first one that has taken its place.
fn name(place: usize, life: u32) -> String {
    let place = place + 1;
    if life == 0 { place.to_string() } else { format!("{place}.{life}") }
}

/// Whether this process has not taken the place of another one.
pub(crate) fn is_first(name: &str) -> bool {
    !name.contains('.')
}

/// Reads what a process tells, to its end.
async fn read(output: ChildStdout, tell: watch::Sender<Report>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(report) = Report::of_line(&line) {
            tell.send_replace(report);
        }
    }
    tell.send_if_modified(|report| {
        let early = report.phase < Phase::Done;
        if early {
            report.phase = Phase::Gone;
        }
        early
    });
}
