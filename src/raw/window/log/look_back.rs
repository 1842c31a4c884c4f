//! How many admissions a provider has counted when it answered.

use super::current::Log;
use crate::raw::left::Sent;
use crate::raw::window::reading::ReadClock;
use crate::raw::window::ring::Later;
use crate::time::in_nanos;

/// What was admitted in the window of a rule that ended when a call was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// What the provider has certainly counted, if it counts calls as they come.
    pub(crate) at_least: u64,
    /// What it can have counted then; `None` if that is not known any more.
    pub(crate) at_most: Option<u64>,
    /// What it can have counted if it counted at any time until now; `None` as above.
    pub(crate) until_now: Option<u64>,
}

impl Log {
    /// What was admitted in a rule's window that ended when this call was sent; `None` if the rule limits nothing, or others are
    /// admitted all the time. It makes the reading of the clock.
    ///
    /// Calls may overtake one another on their way by half the margin.
    pub(crate) fn counted(&self, index: usize, sent: Sent, read: ReadClock<'_>) -> Option<Counted> {
        let (_, window) = self.rule(index)?;
        let kept = in_nanos(self.kept_window(index)?);
        let window = in_nanos(window);
        let jitter = kept.saturating_sub(window) / 2;
        if window == 0 {
            return None;
        }
        let clock = read();
        let asked = self.ask(None, read, |shards, now| {
            let earliest = now.saturating_sub(sent.age(clock, window)).saturating_sub(kept);
            let then = now.saturating_sub(clock.saturating_sub(sent.time(clock)));
            let since = then.saturating_sub(window);
            shards.later_than([
                earliest,
                since.saturating_sub(jitter),
                since.saturating_add(jitter),
                then.saturating_sub(jitter),
                then.saturating_add(jitter),
            ])
        });
        let (later, ..) = asked.ok()?;
        let [until_now, begins, certainly, ended, ends] = later?;
        let known = |later: Later| later.is_all.then_some(later.count);
        Some(Counted {
            at_least: certainly.count.saturating_sub(ended.count),
            at_most: known(begins).map(|count| count.saturating_sub(ends.count)),
            until_now: known(until_now),
        })
    }
}
