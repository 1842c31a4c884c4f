//! A document of JSON, byte by byte, without what nobody asks for.
//!
//! Only these members of an object are kept, wherever they stand in it:
//!
//! ```text
//! { "type", "__type", "object", "code", "status", "statusCode", "status_code", "usage", "error", "message": "…",
//!   "message" | "response" | "x_groq": { "usage", "error" } }
//! ```
//!
//! What a model has written stands in none of them. The rest is skipped by counting brackets outside of strings; it need not be
//! JSON. What is kept is read by a parser afterwards, which refuses what is none. A member for which there is no room is skipped
//! as well, so whatever comes after it can be kept.

use super::word::Word;
use core::mem;

/// The most that is kept of a document.
pub(super) const MOST_BYTES: usize = 8 * 1024;

/// What the name of a member and what is around it take.
const FRAME: usize = 16;

/// The members of the outer object that may tell an error or its kind.
const MEMBERS: [&[u8]; 7] =
    [b"type", b"__type", b"object", b"code", b"status", b"statusCode", b"status_code"];

/// The ends of members that say nothing: no error, above all.
const NOTHING: [&[u8]; 3] = [b":null", b":false", b":\"\""];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a document, or between the items of an array of them.
    Start,
    /// In an object, before a name or its end.
    BeforeName,
    /// In a name. After a backslash it is none of those that are kept.
    Name {
        is_escaped: bool,
    },
    AfterName,
    BeforeValue,
    /// In a value that is copied, or skipped.
    Value {
        copies: bool,
    },
    /// What came is no object.
    Lost,
}

/// What is done with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Keep,
    /// Keeps the members in it.
    Enter,
    Skip,
}

/// Where in a value the next byte stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// How many brackets are open.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
}

impl Place {
    fn is_outside(self) -> bool {
        self.depth == 0 && !self.in_string
    }

    fn after(mut self, byte: u8) -> Self {
        match byte {
            _ if self.in_string => {
                self.in_string = byte != b'"' || self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
            }
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self
    }

    /// How many bytes are text of a string.
    fn text(self, bytes: &[u8]) -> usize {
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\r' | b'\n');
        let is_text = self.in_string && !self.is_escaped;
        if is_text { bytes.iter().position(ends).unwrap_or(bytes.len()) } else { 0 }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Scan {
    state: State,
    place: Place,
    name: Word,
    /// What is kept, as the beginning of an object.
    kept: Vec<u8>,
    /// Where the last member begins in it.
    member: usize,
    /// In an object whose members are kept inside of another.
    is_inner: bool,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            place: Place::default(),
            name: Word::default(),
            kept: Vec::new(),
            member: 0,
            is_inner: false,
        }
    }

    /// Whether no document has begun since the last one ended.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Start
    }

    /// Begins with another document.
    pub(super) fn restart(&mut self) {
        self.state = State::Start;
    }

    /// True if a document ends here: then [`kept`](Self::kept) has what is of interest.
    pub(super) fn step(&mut self, byte: u8) -> bool {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Start => self.start(byte),
            State::Lost => {}
            State::Name { is_escaped } => self.name(byte, is_escaped),
            State::Value { copies } => return self.value(byte, copies),
            State::BeforeName | State::AfterName | State::BeforeValue if is_space => {}
            State::BeforeName => return self.before_name(byte),
            State::AfterName => self.go_on_if(byte == b':', State::BeforeValue),
            State::BeforeValue => return self.before_value(byte),
        }
        false
    }

    /// What is kept of the document that has just ended: an object of JSON, if it was one.
    pub(super) fn kept(&mut self) -> &mut Vec<u8> {
        &mut self.kept
    }

    /// Steps over bytes of a value that is skipped: as many as this, up to its end or that of a line.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        if self.state != (State::Value { copies: false }) {
            return 0;
        }
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let text = self.place.text(rest);
            at += text;
            let Some(byte) = rest.get(text) else { break };
            let next = self.place.after(*byte);
            if next.is_outside() || matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.place = next;
            at += 1;
        }
        at
    }

    fn go_on_if(&mut self, is_right: bool, state: State) {
        self.state = if is_right { state } else { State::Lost };
    }

    fn start(&mut self, byte: u8) {
        match byte {
            b'{' => {
                self.kept.clear();
                self.kept.push(b'{');
                (self.is_inner, self.state) = (false, State::BeforeName);
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'[' | b',' | b']' => {}
            _ => self.state = State::Lost,
        }
    }

    fn before_name(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => {
                self.name = Word::default();
                self.state = State::Name { is_escaped: false };
            }
            b',' => {}
            b'}' => return self.end_object(),
            _ => self.state = State::Lost,
        }
        false
    }

    fn name(&mut self, byte: u8, is_escaped: bool) {
        match byte {
            b'"' if !is_escaped => self.state = State::AfterName,
            b'\\' => {
                self.name.spoil();
                self.state = State::Name { is_escaped: !is_escaped };
            }
            _ => {
                self.name.push(byte);
                self.state = State::Name { is_escaped: false };
            }
        }
    }

    fn before_value(&mut self, byte: u8) -> bool {
        let is_full = self.kept.len() + FRAME > MOST_BYTES;
        let wish = if is_full { Wish::Skip } else { self.wish() };
        if wish != Wish::Skip {
            self.begin_member();
        }
        if wish == Wish::Enter && byte == b'{' {
            self.kept.push(b'{');
            (self.is_inner, self.state) = (true, State::BeforeName);
            return false;
        }
        self.place = Place::default();
        self.value(byte, wish != Wish::Skip)
    }

    fn wish(&self) -> Wish {
        match (self.name.as_bytes(), self.is_inner) {
            (b"usage" | b"error", _) => Wish::Keep,
            (name, false) if MEMBERS.contains(&name) => Wish::Keep,
            (b"message" | b"response" | b"x_groq", false) => Wish::Enter,
            _ => Wish::Skip,
        }
    }

    fn begin_member(&mut self) {
        self.member = self.kept.len();
        if !self.kept.ends_with(b"{") {
            self.kept.push(b',');
        }
        self.kept.push(b'"');
        self.kept.extend_from_slice(self.name.as_bytes());
        self.kept.extend_from_slice(b"\":");
    }

    fn value(&mut self, byte: u8, copies: bool) -> bool {
        let is_end = matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        if self.place.is_outside() && is_end {
            // The end of a number or a word, which does not belong to it.
            self.end_value(copies);
            return byte == b'}' && self.end_object();
        }
        self.place = self.place.after(byte);
        let copies = copies && self.copy(byte);
        self.state = State::Value { copies };
        if self.place.is_outside() && matches!(byte, b'"' | b'}' | b']') {
            self.end_value(copies);
        }
        false
    }

    /// False if there is no room: then nothing of the member is kept.
    fn copy(&mut self, byte: u8) -> bool {
        let fits = self.kept.len() < MOST_BYTES;
        if fits {
            self.kept.push(byte);
        } else {
            self.kept.truncate(self.member);
        }
        fits
    }

    fn end_value(&mut self, copied: bool) {
        if copied && NOTHING.iter().any(|nothing| self.kept.ends_with(nothing)) {
            self.kept.truncate(self.member);
        }
        self.state = State::BeforeName;
    }

    /// True if it was the outer one.
    fn end_object(&mut self) -> bool {
        self.kept.push(b'}');
        let is_over = !mem::take(&mut self.is_inner);
        self.state = if is_over { State::Start } else { State::BeforeName };
        is_over
    }
}

/// Whether the text contains the word.
pub(super) fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
