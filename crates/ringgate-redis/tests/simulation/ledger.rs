//! What processes use by the true time: at most the limit in any window, and at most so many slots.

use ringgate::Usage;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One limit in time, as the provider counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limited {
    pub(crate) limit: u64,
    /// The window and its margin.
    pub(crate) window: u64,
    pub(crate) of: fn(Usage) -> u64,
    pub(crate) produced: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    limits: Vec<Limited>,
    slots: Option<usize>,
    time: Rc<Cell<u64>>,
    /// For each limit: when, which call, how much.
    used: Vec<VecDeque<(u64, u64, u64)>>,
    calls: Vec<Call>,
    next: u64,
    pub(crate) admitted: u64,
    /// The most of a limit that was used at a time, in percent.
    pub(crate) fullest: u64,
}

#[derive(Debug)]
struct Call {
    id: u64,
    process: u64,
    reserved: Usage,
    /// It still has its slot, and what it holds.
    counts: bool,
}

impl Ledger {
    pub(crate) fn new(limits: Vec<Limited>, slots: Option<usize>, time: Rc<Cell<u64>>) -> Self {
        let used = limits.iter().map(|_| VecDeque::new()).collect();
        Self { limits, slots, time, used, calls: Vec::new(), next: 0, admitted: 0, fullest: 0 }
    }

    pub(crate) fn admit(&mut self, process: u64, reserved: Usage) -> u64 {
        self.next += 1;
        self.admitted += 1;
        let id = self.next;
        let now = self.time.get();
        if std::env::var_os("RINGGATE_REDIS_TRACE").is_some() {
            println!("{} process {process} admits {id}", now % 1_000_000_000);
        }
        self.calls.push(Call { id, process, reserved, counts: true });
        for (limited, used) in self.limits.iter().zip(&mut self.used) {
            if !limited.produced {
                used.push_back((now, id, (limited.of)(reserved)));
            }
        }
        for n in 0..self.limits.len() {
            self.check(n);
        }
        let in_flight = self.calls.iter().filter(|call| call.counts).count();
        if let Some(slots) = self.slots {
            assert!(in_flight <= slots, "{in_flight} calls in {slots} slots: {:?}", self.calls);
        }
        id
    }

    fn check(&mut self, n: usize) {
        let (limited, used) = (self.limits[n], &mut self.used[n]);
        let now = self.time.get();
        while used.front().is_some_and(|(at, ..)| at + limited.window <= now) {
            used.pop_front();
        }
        let mut sum: u64 = used.iter().map(|(_, _, amount)| amount).sum();
        if limited.produced {
            let held = self.calls.iter().filter(|call| call.counts);
            sum += held.map(|call| (limited.of)(call.reserved)).sum::<u64>();
        }
        let Limited { limit, window, produced, .. } = limited;
        self.fullest = self.fullest.max(100 * sum / limit.max(1));
        assert!(
            sum <= limit,
            "{sum} of {limit} in {window} (limit {n}, produced: {produced}): {used:?}"
        );
    }

    /// A call has ended, and has used no more than it had reserved.
    pub(crate) fn settle(&mut self, id: u64, used: Usage) {
        let Some(index) = self.calls.iter().position(|call| call.id == id) else { return };
        let call = self.calls.swap_remove(index);
        let now = self.time.get();
        for (limited, entries) in self.limits.iter().zip(&mut self.used) {
            let amount = (limited.of)(used);
            if limited.produced {
                if call.counts {
                    entries.push_back((now, id, amount));
                }
            } else if let Some(entry) = entries.iter_mut().find(|entry| entry.1 == id) {
                entry.2 = amount;
            }
        }
    }

    /// The calls of a process that was not heard of for a time to live have no slots any more, and what they hold counts as used.
    pub(crate) fn forget(&mut self, process: u64) {
        let now = self.time.get();
        for call in self.calls.iter_mut().filter(|call| call.process == process && call.counts) {
            call.counts = false;
            for (limited, used) in self.limits.iter().zip(&mut self.used) {
                if limited.produced {
                    used.push_back((now, call.id, (limited.of)(call.reserved)));
                }
            }
        }
    }

    /// It was killed.
    pub(crate) fn kill(&mut self, process: u64) {
        self.forget(process);
        self.calls.retain(|call| call.process != process);
    }
}
