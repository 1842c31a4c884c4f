//! The stamps of a window whose rules change.

use ringgate_model::window;
pub(crate) use ringgate_model::window::Rule;

/// A rule, and its extremes since the log was made.
struct Kept {
    now: Rule,
    largest: u32,
    shortest: u64,
}

/// The stamps of all admissions, and rules that may change.
pub(crate) struct Stamps {
    all: window::Stamps,
    rules: Vec<Kept>,
    /// A change may have removed stamps up to this one from the log.
    forgotten: Option<u64>,
}

impl Stamps {
    pub(crate) fn new(rules: impl Iterator<Item = Rule>) -> Self {
        let kept = |now: Rule| Kept { now, largest: now.limit, shortest: now.window };
        Self { all: window::Stamps::default(), rules: rules.map(kept).collect(), forgotten: None }
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = Rule> {
        self.rules.iter().map(|rule| rule.now)
    }

    pub(crate) fn newest(&self) -> u64 {
        self.all.newest()
    }

    /// Changes a rule. `forgets` if the log may then lack stamps that count.
    pub(crate) fn change(&mut self, index: usize, now: Rule, forgets: bool) {
        let rule = &mut self.rules[index];
        *rule = Kept {
            now,
            largest: rule.largest.max(now.limit),
            shortest: rule.shortest.min(now.window),
        };
        if forgets && !self.all.is_empty() {
            self.forgotten = Some(self.newest());
        }
    }

    /// Removes all stamps.
    pub(crate) fn reset(&mut self) {
        self.all.clear();
        self.forgotten = None;
    }

    /// True if the log has all stamps.
    pub(crate) fn knows_all(&self) -> bool {
        self.forgotten.is_none()
    }

    /// True if the log has all stamps that count at `now`.
    pub(crate) fn is_exact(&self, now: u64) -> bool {
        self.forgotten.is_none_or(|last| self.rules().all(|rule| last + rule.window <= now))
    }

    /// The earliest time, from `now` on, at which all rules admit one more. `None` if a limit is zero.
    pub(crate) fn free_at(&self, now: u64) -> Option<u64> {
        self.all.free_at(self.rules(), now)
    }

    /// How many more all rules admit.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        self.all.remaining(self.rules(), now)
    }

    /// Adds an admission.
    ///
    /// # Panics
    ///
    /// If a window as short as a rule's shortest then has more admissions than the rule's largest limit.
    pub(crate) fn admit(&mut self, now: u64) {
        self.all.admit(now);
        for rule in &self.rules {
            let inside = self.all.count_in(rule.shortest, self.newest());
            let most = rule.largest as usize;
            assert!(inside <= most, "{inside} admissions in a window, of {most}, at {now}");
        }
    }
}
