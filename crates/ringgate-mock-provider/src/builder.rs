//! What the provider is to be like.

use crate::ledger::Ledger;
use crate::provider::MockProvider;
use crate::routes::Shared;
use crate::settings::Settings;
use crate::surprise::Script;
use crate::terms::{Counting, Terms};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::io;
use std::sync::Arc;

/// Builder of a [`MockProvider`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is started"]
pub struct MockProviderBuilder {
    terms: Terms,
    lenient: bool,
    settings: Settings,
    script: Script,
}

impl Default for MockProviderBuilder {
    /// Nothing is limited, and answers take no time.
    fn default() -> Self {
        let settings =
            Settings { answer_time: Duration::ZERO..=Duration::ZERO, output_tokens: None };
        Self { terms: Terms::default(), lenient: false, settings, script: Script::new() }
    }
}

impl MockProviderBuilder {
    /// All limits at once, in place of those told before.
    pub fn terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// At most so many calls in any window of this length, which is also the window of tokens.
    pub fn requests(mut self, most: u32, window: Duration) -> Self {
        self.terms = Terms { requests: Some(most), window, ..self.terms };
        self
    }

    /// Tokens are counted like this, in windows as long as those of the requests: a minute, unless
    /// [`requests`](Self::requests) or [`window`](Self::window) says otherwise.
    pub fn tokens(mut self, counting: Counting) -> Self {
        self.terms.tokens = counting;
        self
    }

    /// The length of the windows, where only tokens are limited.
    pub fn window(mut self, window: Duration) -> Self {
        self.terms.window = window;
        self
    }

    /// At most so many calls in flight: from their arrival until the last byte of their answer is made, or the
    /// client hangs up.
    pub fn max_in_flight(mut self, most: usize) -> Self {
        self.terms.max_in_flight = Some(most);
        self
    }

    /// How long answers take from their beginning to their end. Where in this range an answer lies depends on the number
    /// of its call alone, so it is the same in each run. If the end is before the start, all take as long as the start
    /// says.
    pub fn answer_time(mut self, range: RangeInclusive<Duration>) -> Self {
        self.settings.answer_time = range;
        self
    }

    /// Each answer has so many tokens, or as many as its call allows if those are fewer; never more than 65,536.
    ///
    /// Without this an answer has a tenth of what its call allows on average, and one in sixteen all of it; a sentence, if
    /// its call sets no limit.
    pub fn output_tokens(mut self, tokens: u64) -> Self {
        self.settings.output_tokens = Some(tokens);
        self
    }

    /// Calls beyond the terms are counted, and answered all the same. Overloads, closed times and stops still refuse.
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Plays this from the start on.
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Starts to serve, on a loopback port of its own, in the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the system has no port for it.
    #[expect(clippy::unused_async, reason = "only a task of a runtime can serve")]
    pub async fn start(self) -> io::Result<MockProvider> {
        let Self { terms, lenient, settings, script } = self;
        let ledger = Arc::new(Ledger::new(terms, lenient));
        MockProvider::serve(Shared { ledger, settings }, script)
    }
}
