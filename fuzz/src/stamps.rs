//! A list of all stamps there have been, and what rules make of it.

/// At most `limit` admissions in any `window` (ns, any margin included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) limit: u32,
    pub(crate) window: u64,
}

/// What one rule has been since the log was made.
struct Kept {
    now: Rule,
    largest: u32,
    shortest: u64,
}

/// Every admission by its stamp, under rules that may change.
pub(crate) struct Stamps {
    all: Vec<u64>,
    rules: Vec<Kept>,
    /// Stamps up to this one may have been forgotten in a change.
    forgotten: Option<u64>,
}

impl Stamps {
    pub(crate) fn new(rules: impl Iterator<Item = Rule>) -> Self {
        let kept = |now: Rule| Kept { now, largest: now.limit, shortest: now.window };
        Self { all: Vec::new(), rules: rules.map(kept).collect(), forgotten: None }
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = Rule> {
        self.rules.iter().map(|rule| rule.now)
    }

    pub(crate) fn newest(&self) -> u64 {
        self.all.last().copied().unwrap_or(0)
    }

    /// A rule becomes another; `forgets` if the log may keep less than all that counts by it.
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

    /// As if nothing had been admitted yet.
    pub(crate) fn reset(&mut self) {
        self.all.clear();
        self.forgotten = None;
    }

    /// Whether nothing has been forgotten, at any time.
    pub(crate) fn knows_all(&self) -> bool {
        self.forgotten.is_none()
    }

    /// Whether nothing that counts has been forgotten.
    pub(crate) fn is_exact(&self, now: u64) -> bool {
        self.forgotten.is_none_or(|last| self.rules().all(|rule| last + rule.window <= now))
    }

    /// When all rules let one more through: `now` or later; never if a limit is zero.
    pub(crate) fn free_at(&self, now: u64) -> Option<u64> {
        let by = |rule: Rule| {
            let limit = usize::try_from(rule.limit).expect("a small number");
            let nth = match self.all.len().checked_sub(limit) {
                _ if limit == 0 => return None,
                Some(nth) => self.all[nth],
                None => return Some(now),
            };
            Some(now.max(nth + rule.window))
        };
        self.rules().map(by).try_fold(now, |latest, free_at| Some(latest.max(free_at?)))
    }

    /// How many more the rules let through.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        let by = |rule: Rule| {
            let gone = self.all.partition_point(|stamp| stamp + rule.window <= now);
            let busy = u32::try_from(self.all.len() - gone).expect("a small number");
            rule.limit.saturating_sub(busy)
        };
        self.rules().map(by).min().unwrap_or(u32::MAX)
    }

    /// One admission more. Stamps never decrease.
    ///
    /// # Panics
    ///
    /// If that is more, in a stretch as long as the shortest window, than the largest limit.
    pub(crate) fn admit(&mut self, now: u64) {
        let stamp = now.max(self.newest());
        self.all.push(stamp);
        for rule in &self.rules {
            let before = self.all.partition_point(|earlier| earlier + rule.shortest <= stamp);
            let inside = self.all.len() - before;
            let most = rule.largest as usize;
            assert!(inside <= most, "{inside} admissions in a window, of {most}, at {now}");
        }
    }
}
