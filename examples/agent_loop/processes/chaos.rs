//! `--chaos`: what happens to the processes and the store, and whether calls go on after it.

use super::family::Family;
use super::signals::Signal;
use super::store::Store;
use crate::dice::Dice;
use crate::flags::Flags;
use crate::say;
use core::error::Error;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Event, MockProvider};
use std::collections::BTreeSet;
use std::io;
use std::time::Instant as StdInstant;
use tokio::time::{Instant, sleep};

/// Between two looks whether calls go on.
const TICK: Duration = Duration::from_millis(50);

/// How much longer than the store waits for a process something is stopped.
const LONGER: Duration = Duration::from_secs(1);

/// What processes may need to find out that the store is there again, and to start.
const CONNECTING: Duration = Duration::from_secs(3);

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    ProcessKilled,
    ProcessStopped,
    StoreKilled,
    StoreEmptied,
    StoreStopped,
    StoreAway,
    ScriptsForgotten,
    ConnectionsCut,
}

impl Blow {
    const ALL: [Self; 8] = [
        Self::ProcessKilled,
        Self::ProcessStopped,
        Self::StoreKilled,
        Self::StoreEmptied,
        Self::StoreStopped,
        Self::StoreAway,
        Self::ScriptsForgotten,
        Self::ConnectionsCut,
    ];
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProcessKilled => "a process is killed, and another started",
            Self::ProcessStopped => "a process is stopped",
            Self::StoreKilled => "the store is killed, and restarted with its data",
            Self::StoreEmptied => "the store is shut down, and restarted with nothing",
            Self::StoreStopped => "the store is stopped",
            Self::StoreAway => "the store is killed, and away until all processes use their shares",
            Self::ScriptsForgotten => "the store forgets its scripts",
            Self::ConnectionsCut => "the store closes all connections",
        })
    }
}

/// What happens, and what has happened.
pub(crate) struct Chaos {
    dice: Dice,
    time: Range<Instant>,
    /// For how long something is stopped.
    stop: Duration,
    /// For how long the store is away, so that calls go on without it.
    away: Duration,
    /// How long what is granted before may be used after it.
    lease: Duration,
    /// How long the store may grant nothing after it, or keep what it granted to a process that has gone.
    quiet: Duration,
    happened: Vec<Blow>,
    faults: Vec<String>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Each of them, and how often.
    pub(crate) happened: usize,
    /// What there was no time for.
    pub(crate) missing: Vec<String>,
    /// After what calls did not go on.
    pub(crate) faults: Vec<String>,
    /// No call may be in line for longer.
    pub(crate) patience: Duration,
}

impl Chaos {
    pub(crate) fn new(flags: &Flags, time: Range<Instant>) -> Self {
        let terms = flags.terms_with_margin();
        let (lease, silence) = (flags.lease(), flags.time_to_live());
        Self {
            dice: Dice(flags.seed.unwrap_or(1)),
            time,
            stop: if flags.chaos { silence + LONGER } else { Duration::ZERO },
            away: flags.share_begins(),
            lease,
            quiet: (terms.window + lease).max(if flags.chaos { silence } else { Duration::ZERO }),
            happened: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// After something has happened calls must go on by then.
    fn patience(&self) -> Duration {
        2 * self.quiet + self.stop.max(self.away) + 2 * CONNECTING
    }

    pub(crate) fn outcome(self) -> Outcome {
        let happened: BTreeSet<_> = self.happened.iter().collect();
        let missing = Blow::ALL.iter().filter(|blow| !happened.contains(blow));
        Outcome {
            happened: self.happened.len(),
            missing: missing.map(Blow::to_string).collect(),
            patience: self.patience(),
            faults: self.faults,
        }
    }

    /// One thing after another, each once before one comes again, as long as there is time.
    pub(crate) async fn play(
        &mut self,
        family: &mut Family<'_>,
        store: &mut Store<'_>,
        server: &MockProvider,
    ) -> Result<(), Box<dyn Error>> {
        self.wait_for_calls("the start", family, server).await;
        let mut is_time = true;
        while is_time {
            is_time = false;
            for blow in self.shuffled() {
                let pause = Duration::from_millis(200 + u64::from(self.dice.below(400)));
                if Instant::now() + pause + self.need(blow) > self.time.end {
                    continue;
                }
                sleep(pause).await;
                is_time = true;
                self.happened.push(blow);
                if blow == Blow::StoreAway {
                    self.leave_alone(family, store, server).await?;
                } else {
                    self.deal(blow, family, store).await?;
                }
                self.wait_for_calls(&blow.to_string(), family, server).await;
            }
        }
        Ok(())
    }

    fn shuffled(&mut self) -> [Blow; 8] {
        let mut blows = Blow::ALL;
        for last in (1..8_u8).rev() {
            let other = self.dice.below(u32::from(last) + 1);
            blows.swap(last.into(), other as usize);
        }
        blows
    }

    /// The time until calls must be there again, if all goes as it should.
    fn need(&self, blow: Blow) -> Duration {
        match blow {
            Blow::ProcessStopped | Blow::StoreStopped => self.stop + self.quiet + CONNECTING,
            Blow::StoreAway => self.away + self.quiet + 2 * CONNECTING,
            Blow::StoreKilled | Blow::StoreEmptied => self.quiet + CONNECTING,
            Blow::ProcessKilled | Blow::ScriptsForgotten | Blow::ConnectionsCut => CONNECTING,
        }
    }

    async fn deal(
        &mut self,
        blow: Blow,
        family: &mut Family<'_>,
        store: &mut Store<'_>,
    ) -> Result<(), Box<dyn Error>> {
        let members = u32::try_from(family.len()).unwrap_or(u32::MAX);
        let victim = self.dice.below(members) as usize;
        match blow {
            Blow::ProcessKilled => {
                self.tell(format_args!("process {} is killed", family.names()[victim]));
                family.replace(victim, self.time.end).await?;
                self.tell(format_args!("process {} takes its place", family.names()[victim]));
            }
            Blow::ProcessStopped => {
                let (name, stop) = (&family.names()[victim], self.stop);
                self.tell(format_args!("process {name} is stopped for {stop:?}"));
                family.signal(victim, Signal::Stop)?;
                sleep(stop).await;
                family.signal(victim, Signal::Continue)?;
                self.tell(format_args!("process {name} goes on"));
            }
            Blow::StoreStopped => {
                self.tell(format_args!("{blow} for {:?}", self.stop));
                store.signal(Signal::Stop)?;
                sleep(self.stop).await;
                store.signal(Signal::Continue)?;
                self.tell(format_args!("the store goes on"));
            }
            Blow::StoreKilled | Blow::StoreAway => {
                self.tell(format_args!("{blow}"));
                store.kill().await?;
                store.restart().await?;
            }
            Blow::StoreEmptied => {
                self.tell(format_args!("{blow}"));
                store.shut_down().await?;
                store.empty()?;
                store.restart().await?;
            }
            Blow::ScriptsForgotten => {
                self.tell(format_args!("{blow}"));
                store.order("SCRIPT FLUSH").await?;
            }
            Blow::ConnectionsCut => {
                self.tell(format_args!("{blow}"));
                store.order("CLIENT KILL TYPE normal").await?;
                store.order("CLIENT KILL TYPE pubsub").await?;
            }
        }
        Ok(())
    }

    /// The store is away until all processes call without it.
    async fn leave_alone(
        &mut self,
        family: &Family<'_>,
        store: &mut Store<'_>,
        server: &MockProvider,
    ) -> Result<(), Box<dyn Error>> {
        self.tell(format_args!("{}", Blow::StoreAway));
        store.kill().await?;
        sleep(self.away).await;
        self.wait_for_calls("the store is away", family, server).await;
        store.restart().await?;
        self.tell(format_args!("the store is there again"));
        Ok(())
    }

    /// Until the server has accepted a call of each process that no grant from before can have admitted.
    async fn wait_for_calls(&mut self, event: &str, family: &Family<'_>, server: &MockProvider) {
        let over = Instant::now();
        let since = (over + self.lease).into_std();
        let too_late = (over + self.patience()).min(self.time.end);
        let mut silent: BTreeSet<String> = family.names().into_iter().collect();
        while !silent.is_empty() && Instant::now() < too_late {
            sleep(TICK).await;
            for name in callers(server, since) {
                silent.remove(&name);
            }
        }
        if silent.is_empty() {
            let took = over.elapsed().as_secs_f64();
            self.tell(format_args!("calls of all processes after {took:.2} s"));
            return;
        }
        let names: Vec<_> = silent.into_iter().collect();
        let fault = format!(
            "{event}: no call of {} for {:.1} s",
            names.join(", "),
            over.elapsed().as_secs_f64()
        );
        self.tell(format_args!("{fault}"));
        self.faults.push(fault);
    }

    fn tell(&self, what: fmt::Arguments<'_>) {
        let time = self.time.start.elapsed().as_secs_f64();
        say(io::stdout(), &format_args!("{time:5.1} s     {what}").to_string());
    }
}

/// Whose calls were accepted since then.
fn callers(server: &MockProvider, since: StdInstant) -> BTreeSet<String> {
    let mut callers = BTreeSet::new();
    for (at, event) in server.log().events.iter().rev() {
        if *at < since {
            break;
        }
        if let Event::Accepted { user: Some(user), .. } = event {
            callers.insert(user.to_string());
        }
    }
    callers
}
