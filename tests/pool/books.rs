//! What calls count for in a pool's limits on tokens, by what is documented: one book for each limit.

use proptest::prelude::*;
use ringgate::{Limiter, TokenLimit, TokenWindow, Usage};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// Above what the calls of one program can use together, so that no call waits for tokens. It is counted by single tokens.
const LIMIT: u64 = 2_000_000;
const MOST_EXPECTED: u64 = 1_000;
const MOST_SAID: u64 = 3_000;
const MOST_FACTOR: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    Total,
    Input,
    Output,
}

/// A limit as its documentation describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    counting: Counting,
    seconds: u64,
    without_refunds: bool,
    factor: u32,
}

pub(crate) fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let counting =
        prop_oneof![Just(Counting::Total), Just(Counting::Input), Just(Counting::Output)];
    let seconds = prop_oneof![3 => Just(60), 1 => 1..=90_u64];
    let without_refunds = prop::bool::weighted(0.25);
    let factor = prop_oneof![2 => Just(1), 1 => 0..=MOST_FACTOR];
    let rule = (counting, seconds, without_refunds, factor).prop_map(
        |(counting, seconds, without_refunds, factor)| Rule {
            counting,
            seconds,
            without_refunds,
            factor,
        },
    );
    prop::collection::vec(rule, 0..4)
}

pub(crate) fn expected() -> impl Strategy<Value = Usage> {
    parts(MOST_EXPECTED)
}

pub(crate) fn said() -> impl Strategy<Value = Usage> {
    parts(MOST_SAID)
}

/// Often zero, or about what is expected.
fn parts(most: u64) -> impl Strategy<Value = Usage> {
    let part = || prop_oneof![1 => Just(0), 2 => 0..=MOST_EXPECTED, 1 => 0..=most];
    (part(), part()).prop_map(|(input, output)| Usage::new(input, output))
}

impl Rule {
    pub(crate) fn made(self) -> TokenLimit {
        let window = Duration::from_secs(self.seconds);
        let limit = match self.counting {
            Counting::Total => TokenLimit::total(LIMIT, window),
            Counting::Input => TokenLimit::input(LIMIT, window),
            Counting::Output => TokenLimit::output(LIMIT, window),
        };
        let limit = limit.with_output_factor(self.factor);
        if self.without_refunds { limit.without_refunds() } else { limit }
    }

    /// Output that was used counts several times, output that is expected once.
    fn of(self, usage: Usage, factor: u32) -> u64 {
        let output = usage.output * u64::from(factor);
        match self.counting {
            Counting::Total => usage.input + output,
            Counting::Input => usage.input,
            Counting::Output => output,
        }
    }

    fn reserves(self, expected: Usage) -> u64 {
        self.of(expected, 1)
    }

    /// What a call counts as that has `ended`, or of which no more is known than this.
    fn settles_at(self, call: Call, ended: bool) -> u64 {
        let Call { expected, said, .. } = call;
        let reserved = self.reserves(expected);
        match said {
            None => reserved,
            Some(said) if ended && self.without_refunds => reserved.max(self.of(said, self.factor)),
            Some(said) if ended => self.of(said, self.factor),
            // The larger of what was expected and of what was said, in each part.
            Some(said) => {
                let output = expected.output.max(said.output * u64::from(self.factor));
                self.of(Usage::new(expected.input.max(said.input), output), 1)
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Call {
    id: usize,
    expected: Usage,
    said: Option<Usage>,
}

struct Book {
    rule: Rule,
    /// With its margin.
    window: u64,
    /// It may count for so much longer.
    granularity: u64,
    /// The call, since when it counts (`None`: it is held), and for how much.
    entries: Vec<(usize, Option<u64>, u64)>,
}

impl Book {
    fn new(rule: Rule, margin: Option<u64>) -> Self {
        let window = rule.seconds * SECOND;
        let window = window + margin.unwrap_or((window / 40).min(SECOND / 4));
        let granularity = TokenWindow::new(LIMIT, Duration::from_nanos(window)).granularity();
        let granularity = u64::try_from(granularity.as_nanos()).unwrap();
        Self { rule, window, granularity, entries: Vec::new() }
    }

    fn begin(&mut self, call: Call, now: u64) {
        let since = (self.rule.counting != Counting::Output).then_some(now);
        self.entries.push((call.id, since, self.rule.reserves(call.expected)));
    }

    fn end(&mut self, call: Call, ended: bool, now: u64) {
        let used = self.rule.settles_at(call, ended);
        let entry = self.entries.iter_mut().find(|(id, ..)| *id == call.id).expect("it began");
        if entry.1.is_none() {
            *entry = (call.id, Some(now), used);
            return;
        }
        let more = used.saturating_sub(entry.2);
        entry.2 = entry.2.min(used);
        self.entries.push((call.id, Some(now), more));
    }

    /// The least and the most that may be left.
    fn left(&self, now: u64) -> (u64, u64) {
        let counted = |for_long: u64| {
            let counts = |since: &Option<u64>| since.is_none_or(|since| since + for_long > now);
            let entries = self.entries.iter().filter(|(_, since, _)| counts(since));
            entries.map(|(.., amount)| amount).sum::<u64>()
        };
        (LIMIT - counted(self.window + self.granularity), LIMIT - counted(self.window))
    }
}

/// The books of one pool.
pub(crate) struct Books {
    books: Vec<Book>,
    /// Calls that run.
    calls: Vec<Call>,
}

impl Books {
    pub(crate) fn new(rules: &[Rule], margin: Option<u64>) -> Self {
        let books = rules.iter().map(|rule| Book::new(*rule, margin)).collect();
        Self { books, calls: Vec::new() }
    }

    /// The pool asks for the usage of events.
    pub(crate) fn has_limits(&self) -> bool {
        !self.books.is_empty()
    }

    pub(crate) fn begin(&mut self, id: usize, expected: Usage, now: u64) {
        let call = Call { id, expected, said: None };
        self.calls.push(call);
        self.books.iter_mut().for_each(|book| book.begin(call, now));
    }

    /// An event of this call has said what was used so far.
    pub(crate) fn says(&mut self, id: usize, used: Usage) {
        let call = self.calls.iter_mut().find(|call| call.id == id).expect("it runs");
        let before = call.said.unwrap_or_default();
        let (input, output) = (before.input.max(used.input), before.output.max(used.output));
        call.said = Some(Usage::new(input, output));
    }

    /// `ended`: its stream has come to its end. Else it failed, panicked or was dropped.
    pub(crate) fn end(&mut self, id: usize, ended: bool, now: u64) {
        let place = self.calls.iter().position(|call| call.id == id).expect("it runs");
        let call = self.calls.remove(place);
        self.books.iter_mut().for_each(|book| book.end(call, ended, now));
    }

    /// What remains of the tightest limit of each kind is the limit less what is in its book.
    pub(crate) fn check(&self, limiter: &Limiter, now: u64) -> Result<(), TestCaseError> {
        let kinds = [
            (Counting::Total, limiter.remaining_tokens()),
            (Counting::Input, limiter.remaining_input_tokens()),
            (Counting::Output, limiter.remaining_output_tokens()),
        ];
        for (kind, remaining) in kinds {
            let books = self.books.iter().filter(|book| book.rule.counting == kind);
            let tighter =
                |one: (u64, u64), other: (u64, u64)| (one.0.min(other.0), one.1.min(other.1));
            let (least, most) =
                books.map(|book| book.left(now)).fold((u64::MAX, u64::MAX), tighter);
            let is_right = (least..=most).contains(&remaining);
            prop_assert!(is_right, "{kind:?}: {remaining} left, not {least} to {most}");
        }
        Ok(())
    }
}
