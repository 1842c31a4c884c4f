//! Bytes go in, the usage so far comes out.

use super::lines::{Lines, Part};
use super::numbers;
use super::scan::{Scan, contains};
use crate::feedback::{Feedback, FeedbackReader};
use crate::tokens::Usage;
use core::{fmt, mem};
use serde_json::Value;

/// Reads what a call has used from its answer while that passes by: from a body of JSON or a stream of events (SSE), in the forms of
/// OpenAI (chat completions and responses) and Anthropic.
///
/// Feed it the answer's bytes in pieces of any size, and ask it whenever you like. It never changes the bytes.
///
/// ```
/// use ringgate::{Usage, UsageReader};
///
/// let mut reader = UsageReader::new();
/// reader.feed(br#"event: message_start
/// data: {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}
///
/// "#);
/// assert_eq!(reader.usage(), Some(Usage::new(25, 1)));
/// reader.feed(br#"event: message_delta
/// data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_to"#);
/// reader.feed(b"kens\": 15}}\n\n");
/// assert_eq!(reader.usage(), Some(Usage::new(25, 15)));
/// ```
///
/// # What it reads
///
/// * The **usage** of a body, of the last chunk of a chat completion (which is sent if the request has
///   `stream_options: {"include_usage": true}`), of `response.completed`, `message_start` and `message_delta`. If it is told
///   several times, the largest input and the largest output count.
/// * **Cached input**: OpenAI's counts, and Anthropic's does not, but what is written into the cache does. So do their limits on
///   input tokens. [`count_cached`](Self::count_cached) says otherwise.
/// * An **error** in a stream that has begun, as [`Feedback::from_stream_event`] does: one in each event, and in a body of JSON.
///
/// What the model has written is never taken for either, if the answer is JSON or a stream of events. What cannot be read has not been
/// said: a number below zero, above `u64::MAX` or with a point, a name with escapes in it, compressed bytes. A document counts when it
/// has ended.
///
/// # What it does not read
///
/// * Answers of other forms: plain text (a line that begins with `{` is read as an error that stands in a stream as it is),
///   Bedrock's frames and its `…Exception` members.
/// * An error over several lines in a stream of events, unless each line is one of `data`.
/// * A document with anything in what is kept of it that is no JSON, or a number beyond those of `f64`: as a whole.
///
/// # Cost
///
/// It looks at each byte once. It keeps what it needs of one document (a body, or an event) until that ends, and at most 8 KiB of
/// it; a member for which there is no room is skipped.
#[derive(Clone)]
pub struct UsageReader {
    form: Form,
    lines: Lines,
    scan: Scan,
    counts_cached: Option<bool>,
    errors: FeedbackReader,
    said: Option<Usage>,
    feedback: Option<Feedback>,
    event: Event,
    has_failed: bool,
    is_complete: bool,
}

/// What is known of the event that is under way.
#[derive(Debug, Clone, Copy, Default)]
struct Event {
    has_document: bool,
    /// A document has been read as an error: the others of it are not. There may be thousands.
    is_tried: bool,
}

/// What a document has in it that ends an answer.
const ENDS: [&[u8]; 3] = [
    br#""type":"message_stop""#,
    br#""type":"response.completed""#,
    br#""type":"response.incomplete""#,
];

/// What the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It has not begun.
    Unknown,
    Json,
    Events,
}

impl Default for UsageReader {
    fn default() -> Self {
        Self::new()
    }
}

impl UsageReader {
    /// A reader for one answer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            form: Form::Unknown,
            lines: Lines::new(),
            scan: Scan::new(),
            counts_cached: None,
            errors: FeedbackReader::new(),
            said: None,
            feedback: None,
            event: Event::default(),
            has_failed: false,
            is_complete: false,
        }
    }

    /// Whether input that was read from a cache counts. For a provider whose limits count otherwise than its form does: Groq's do not
    /// count it, those of some older models of Anthropic's do.
    ///
    /// ```
    /// use ringgate::{Usage, UsageReader};
    ///
    /// let mut reader = UsageReader::new().count_cached(false);
    /// reader.feed(br#"{"usage": {"prompt_tokens": 2006, "completion_tokens": 300,
    ///     "prompt_tokens_details": {"cached_tokens": 1920}}}"#);
    /// assert_eq!(reader.usage(), Some(Usage::new(86, 300)));
    /// ```
    #[must_use]
    pub fn count_cached(mut self, counts: bool) -> Self {
        self.counts_cached = Some(counts);
        self
    }

    /// Reads errors by `reader`, with its [dialect](FeedbackReader::dialect) and its [longest pause](FeedbackReader::max_pause).
    ///
    /// ```
    /// use ringgate::{Feedback, FeedbackReader, UsageReader};
    /// use std::time::Duration;
    ///
    /// let errors = FeedbackReader::new().max_pause(Duration::from_secs(30));
    /// let mut reader = UsageReader::new().feedback_reader(errors);
    /// reader.feed(br#"{"error": {"code": "rate_limit_exceeded", "message": "Try again in 90s."}}"#);
    /// assert_eq!(reader.feedback(), Some(&Feedback::cool_down(Duration::from_secs(30))));
    /// ```
    #[must_use]
    pub fn feedback_reader(mut self, reader: FeedbackReader) -> Self {
        self.errors = reader;
        self
    }

    /// Reads the next bytes of the answer.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            let skipped = self.skip(rest);
            if skipped > 0 {
                rest = &rest[skipped..];
            } else {
                self.step(*byte);
                rest = after;
            }
        }
    }

    /// What has been used, as far as it has been said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.said
    }

    /// What the first error says for all calls, if one has come.
    ///
    /// ```
    /// use ringgate::{Feedback, UsageReader};
    ///
    /// let mut reader = UsageReader::new();
    /// reader.feed(br#"event: error
    /// data: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    ///
    /// "#);
    /// assert_eq!(reader.feedback(), Some(&Feedback::overload()));
    /// ```
    #[must_use]
    pub fn feedback(&self) -> Option<&Feedback> {
        self.feedback.as_ref()
    }

    /// Whether it has told an error, of whatever kind.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether it has said that nothing more comes.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete || self.lines.is_done()
    }

    /// Steps over bytes of what nobody asks for: as many as this.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let is_data = self.form == Form::Json || self.lines.is_in_data();
        if is_data { self.scan.skip(bytes) } else { 0 }
    }

    fn step(&mut self, byte: u8) {
        if self.form == Form::Unknown {
            self.form = match byte {
                // The mark of UTF-8, which may stand before it.
                b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF => return,
                b'{' | b'[' => Form::Json,
                _ => Form::Events,
            };
        }
        if self.form == Form::Json {
            return self.scan(byte, false);
        }
        match self.lines.step(byte) {
            Part::Data(byte) => self.scan(byte, self.lines.is_error()),
            Part::EventEnd { is_error } => self.end_event(is_error),
            Part::Nothing => {}
        }
    }

    fn scan(&mut self, byte: u8, is_error: bool) {
        if self.scan.step(byte) {
            self.read(is_error);
        }
    }

    /// The name of the event may stand after its data.
    fn end_event(&mut self, is_error: bool) {
        self.has_failed |= is_error;
        if is_error && self.event.has_document && self.scan.is_between() {
            self.read_error(true);
        }
        self.event = Event::default();
        self.scan.restart();
    }

    /// Reads the document that has just ended.
    fn read(&mut self, is_error: bool) {
        self.event.has_document = true;
        let document = self.scan.kept();
        self.is_complete |= ENDS.iter().any(|end| contains(document, end));
        if is_error || contains(document, b"\"error\"") {
            self.read_error(is_error);
        }
        self.read_usage();
    }

    fn read_error(&mut self, is_named: bool) {
        self.has_failed = true;
        if self.feedback.is_some() || mem::replace(&mut self.event.is_tried, true) {
            return;
        }
        let document = self.scan.kept();
        if is_named {
            mark_as_error(document);
        }
        let said = self.errors.read_event(document);
        self.feedback = Some(said).filter(Feedback::says_something);
    }

    fn read_usage(&mut self) {
        let document = self.scan.kept();
        if !contains(document, b"\"usage\"") {
            return;
        }
        let Ok(document) = serde_json::from_slice::<Value>(document) else { return };
        for told in numbers::places(&document) {
            let used = numbers::usage(told, self.counts_cached);
            self.said = match (self.said, used) {
                (Some(said), Some(used)) => Some(said.or_more(used)),
                (said, used) => used.or(said),
            };
        }
    }
}

/// Makes an object say of itself that it is an error, as the event's name says.
fn mark_as_error(object: &mut Vec<u8>) {
    object.pop();
    if !object.ends_with(b"{") {
        object.push(b',');
    }
    object.extend_from_slice(br#""object":"error"}"#);
}

/// What it has read.
impl fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageReader")
            .field("usage", &self.said)
            .field("feedback", &self.feedback)
            .finish_non_exhaustive()
    }
}
