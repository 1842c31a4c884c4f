//! `--processes N`: so many processes of this program share one key, and the provider never has to refuse them.
//!
//! The first process starts a store on loopback (`valkey-server`, else `redis-server`, from the path; a free port, its
//! data in a temporary folder), serves the strict provider, and starts the others. Each of these has agents of its own,
//! which call as fast as they may through a limiter whose rates, tokens and slots are kept in the store. The agents read
//! every answer to its end.
//!
//! # The verdict
//!
//! It goes by the server's log alone, which knows neither limiter nor store:
//!
//! * **Refusals**: none may be 429, and no output beyond its limit.
//! * **Share used**: of the limit that was used most, the mean of all whole windows. At least 95 % (`--least`). A call counts
//!   in the store for the window, the margin and the lease: with `w`, `m` and `l` for these, no more than
//!   `w / (w + m + l)` can be used. By default that is 97 %. A greater `--margin` needs a smaller `--least`.
//! * **Fairness**: the least calls of a process, divided by the most. It is shown, and not judged.
//! * **Waits**: no call is in line for so long that it can only have been forgotten, and every process comes to its end.
//!
//! # Chaos
//!
//! With `--chaos` these happen one after another, in an order and at times that follow from `--seed`. After each one the
//! server must see new calls of every process; the next comes after that.
//!
//! | what | how |
//! |---|---|
//! | a process is killed, and another starts in its place | `SIGKILL` |
//! | a process is stopped for longer than the store waits for it, and goes on | `SIGSTOP`, `SIGCONT` |
//! | the store is killed, and starts again with its data | `SIGKILL` |
//! | the store is shut down, and starts again with nothing | `SHUTDOWN NOSAVE` |
//! | the store is stopped for longer than it waits for a process | `SIGSTOP`, `SIGCONT` |
//! | the store is killed, and away until all processes use their shares | `SIGKILL` |
//! | the store forgets its scripts | `SCRIPT FLUSH` |
//! | the store closes all connections | `CLIENT KILL` |
//!
//! The share used is shown then, and not judged: a store that may have lost its state grants nothing for a window.
//!
//! # A process that was stopped between admission and sending
//!
//! Nothing on this side can make that call arrive in time. So the client looks at the clock when the bytes of a call are
//! about to be written. If the admission is older than half the margin, the call is not sent: it goes through the
//! limiter again, and counts twice in the store. The verdict tells how many there were. Between that look and the system
//! call that writes are some microseconds. A process that is stopped there, or whose bytes wait in the system's buffers, sends
//! late when it goes on. The verdict does not excuse such a call: if the window has no room for it the server answers 429, and
//! the run has failed.
//!
//! # Ends
//!
//! Each wait of the first process has a deadline. A further process, the guard, knows the ids of all others, and kills
//! them and removes the folder when the first process has ended, however it did. The exit code is 0 if the verdict is
//! good, 1 if not, and 69 if there is no store to start.

mod chaos;
mod family;
mod guard;
mod orders;
mod report;
mod shared;
mod signals;
mod store;
mod use_of_limits;
mod verdict;
mod work;

use crate::flags::{Flags, Part};
use crate::say;
use chaos::Chaos;
use core::error::Error;
use core::time::Duration;
use family::Family;
use guard::Guard;
use ringgate_mock_provider::MockProvider;
use std::io;
use std::process::ExitCode;
use store::Store;
use tokio::time::{Instant, interval, sleep_until};
use verdict::Verdict;

/// What `sysexits.h` calls `EX_UNAVAILABLE`.
const NO_STORE: u8 = 69;

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// What this process is there for.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    match &flags.part {
        Part { guard: true, .. } => guard::watch(),
        Part { child: Some(name), store: Some(store), server: Some(server), .. } => {
            work::work(flags, name, store, server).await
        }
        _ => lead(flags).await,
    }
}

/// The first process.
async fn lead(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    if flags.chaos && !signals::POSSIBLE {
        return Err("--chaos needs the signals of Unix".into());
    }
    let Some(program) = store::find().await else {
        say(io::stderr(), &store::HOW_TO_INSTALL);
        return Ok(ExitCode::from(NO_STORE));
    };
    let mut guard = Guard::start()?;
    let verdict = play(flags, program, &guard).await;
    guard.end();
    let verdict = verdict?;
    say(io::stdout(), &verdict);
    Ok(verdict.exit_code())
}

async fn play(flags: &Flags, program: &str, guard: &Guard) -> Result<Verdict, Box<dyn Error>> {
    let server = flags.server().start().await?;
    let mut store = Store::start(program, guard).await?;
    say(io::stdout(), flags);
    say(io::stdout(), &format_args!("server      {}", server.url()));
    say(io::stdout(), &format_args!("store       {program}, {}", store.url()));
    let (store_url, server_url) = (store.url(), server.url());
    let mut family = Family::start(flags, &store_url, &server_url, guard).await?;
    let start = Instant::now();
    let end = start + flags.seconds;
    family.go(end).await?;
    let mut chaos = Chaos::new(flags, start..end);
    let events = async {
        if flags.chaos {
            chaos.play(&mut family, &mut store, &server).await?;
        }
        sleep_until(end).await;
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::select! {
        ended = events => ended?,
        () = show(start, &server) => {}
    }
    let lives = family.end(end).await;
    store.kill().await?;
    let time = start.into_std()..end.into_std();
    Ok(Verdict::new(flags, time, &server, lives, chaos.outcome()))
}

/// Says now and then how far it is. Runs until it is dropped.
async fn show(start: Instant, server: &MockProvider) {
    let mut ticks = interval(PROGRESS);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (time, counts) = (start.elapsed().as_secs_f64(), server.counts());
        let (accepted, in_flight, beyond) = (counts.accepted, counts.in_flight, counts.beyond());
        let line = format_args!(
            "{time:5.1} s     {accepted} calls, {in_flight} in flight, {beyond} beyond the limits"
        )
        .to_string();
        say(io::stderr(), &line);
    }
}
