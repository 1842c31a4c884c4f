//! The lines of a stream of events (SSE), byte by byte.

use super::word::Word;
use core::mem;

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the name of a field.
    Name,
    /// In an event's data.
    Data { is_first: bool },
    /// In an event's name.
    Event,
    /// Where it does not matter.
    Other,
}

/// What a byte means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Nothing,
    Data(u8),
    /// Whether the event is named an error: before its data, or after it.
    EventEnd {
        is_error: bool,
    },
}

/// Tells the data of events from all else. Lines end with CR, LF or both, an event with an empty line.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    at: At,
    /// The name of the field or of the event, or a line of data that is short enough.
    word: Word,
    after_return: bool,
    /// The event is named `error`.
    is_error: bool,
    /// A line of data has been `[DONE]`.
    is_done: bool,
}

impl Lines {
    pub(super) fn new() -> Self {
        let word = Word::default();
        Self { at: At::Name, word, after_return: false, is_error: false, is_done: false }
    }

    pub(super) fn step(&mut self, byte: u8) -> Part {
        let is_second = byte == b'\n' && self.after_return;
        self.after_return = byte == b'\r';
        match (byte, self.at) {
            _ if is_second => Part::Nothing,
            (b'\r' | b'\n', _) => self.end_line(),
            // Some servers write an error into the stream as it is.
            (b'{', At::Name) if self.word.is_empty() => {
                self.at = At::Data { is_first: false };
                self.word.push(byte);
                Part::Data(byte)
            }
            (b':', At::Name) => {
                self.at = match self.word.as_bytes() {
                    b"data" => At::Data { is_first: true },
                    b"event" => At::Event,
                    _ => At::Other,
                };
                self.word = Word::default();
                Part::Nothing
            }
            (b' ', At::Data { is_first: true }) => {
                self.at = At::Data { is_first: false };
                Part::Nothing
            }
            (_, At::Data { .. }) => {
                self.at = At::Data { is_first: false };
                self.word.push(byte);
                Part::Data(byte)
            }
            (b' ', At::Event) if self.word.is_empty() => Part::Nothing,
            (_, At::Name | At::Event) => {
                self.word.push(byte);
                Part::Nothing
            }
            (_, At::Other) => Part::Nothing,
        }
    }

    fn end_line(&mut self) -> Part {
        let (at, word) = (self.at, self.word);
        (self.at, self.word) = (At::Name, Word::default());
        match at {
            At::Name if word.is_empty() => {
                return Part::EventEnd { is_error: mem::take(&mut self.is_error) };
            }
            At::Data { .. } => {
                self.is_done |= word.as_bytes() == b"[DONE]";
                // Between the lines of data.
                return Part::Data(b'\n');
            }
            At::Event => self.is_error = word.as_bytes() == b"error",
            At::Name | At::Other => {}
        }
        Part::Nothing
    }

    /// Whether the event's name, before its data, says that it is an error.
    pub(super) fn is_error(&self) -> bool {
        self.is_error
    }

    /// Whether it has been said that no more events come.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the bytes up to the end of the line are data.
    pub(super) fn is_in_data(&self) -> bool {
        self.at == At::Data { is_first: false }
    }
}
