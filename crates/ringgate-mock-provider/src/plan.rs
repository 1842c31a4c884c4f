//! What an answer says.

use crate::call::Call;
use crate::tokens::{of_bytes, text_of};

/// Pieces of an answer whose length is told.
const PIECES: u64 = 12;

/// The most tokens of an answer, whatever a request allows.
pub(crate) const LONGEST_ANSWER: u64 = 65_536;

/// The text of an answer, in the pieces in which it is streamed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) number: usize,
    pub(crate) pieces: Vec<Piece>,
    /// `max_tokens` has cut it off.
    pub(crate) is_cut_off: bool,
}

/// A piece of an answer, and how many tokens it adds.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) tokens: u64,
}

impl Plan {
    /// `output` is how long answers are, if that is told.
    pub(crate) fn new(number: usize, call: &Call, output: Option<u64>) -> Self {
        let most = call.max_tokens.unwrap_or(u64::MAX);
        let length = output.or(call.max_tokens.map(|most| varied(number as u64, most)));
        let pieces = match length {
            None => {
                let items = call.items;
                words(&format!("This is answer {number}; I have heard {items} messages so far."))
            }
            Some(length) => even(length.min(most).min(LONGEST_ANSWER)),
        };
        let is_cut_off = length.is_some_and(|length| length >= most);
        Self { number, pieces, is_cut_off }
    }

    /// Nothing is said, where the answer is no text.
    pub(crate) fn silent(number: usize) -> Self {
        Self { number, pieces: Vec::new(), is_cut_off: false }
    }

    pub(crate) fn output(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.tokens).sum()
    }

    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }
}

/// A tenth of what it may have on average, but one in sixteen all of it.
fn varied(number: u64, most: u64) -> u64 {
    let share = number.wrapping_mul(7) % 16;
    if share == 0 { most } else { (most.saturating_mul(share) / 80).max(1) }
}

/// Word by word. The tokens of the pieces add up to those of the whole.
fn words(text: &str) -> Vec<Piece> {
    let mut bytes = 0;
    let piece = |word: &str| {
        let before = of_bytes(bytes);
        bytes += word.len();
        Piece { text: word.to_owned(), tokens: of_bytes(bytes) - before }
    };
    text.split_inclusive(' ').map(piece).collect()
}

/// So many tokens, in pieces of nearly the same size.
fn even(tokens: u64) -> Vec<Piece> {
    let ends = (0..=PIECES).map(|piece| tokens * piece / PIECES).collect::<Vec<_>>();
    let sizes = ends.windows(2).map(|ends| ends[1] - ends[0]).filter(|size| *size > 0);
    sizes.map(|tokens| Piece { text: text_of(tokens), tokens }).collect()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_ANSWER, Plan, varied};
    use crate::call::{Call, Route};
    use crate::tokens::count_tokens;

    fn call(max_tokens: Option<u64>) -> Call {
        let body = serde_json::json!({ "model": "m", "messages": [], "max_tokens": max_tokens });
        Call::read(Route::Chat, body.to_string().as_bytes()).expect("it can be read")
    }

    /// Broken by: rounding up the tokens of each word.
    #[test]
    fn the_pieces_of_an_answer_add_up_to_its_text() {
        for max_tokens in [None, Some(1), Some(7), Some(100), Some(1000)] {
            for number in 1..40 {
                let plan = Plan::new(number, &call(max_tokens), None);
                assert_eq!(plan.output(), count_tokens(&plan.text()), "{max_tokens:?}, {number}");
            }
        }
    }

    /// Broken by: an answer as long as a request allows, whatever that is.
    #[test]
    fn no_answer_is_longer_than_the_longest() {
        let plan = Plan::new(16, &call(Some(u64::MAX)), None);
        assert_eq!(plan.output(), LONGEST_ANSWER);
        assert_eq!(Plan::new(1, &call(None), Some(u64::MAX)).output(), LONGEST_ANSWER);
    }

    /// Broken by: a length that is told going before `max_tokens`.
    #[test]
    fn max_tokens_cuts_an_answer_off() {
        let plan = Plan::new(1, &call(Some(10)), Some(20));
        assert_eq!((plan.output(), plan.is_cut_off), (10, true));
        let plan = Plan::new(1, &call(Some(30)), Some(20));
        assert_eq!((plan.output(), plan.is_cut_off), (20, false));
    }

    #[test]
    fn answers_have_a_tenth_of_what_they_may_have_and_some_all_of_it() {
        let lengths: Vec<u64> = (0..16).map(|number| varied(number, 1600)).collect();
        assert_eq!(lengths.iter().filter(|length| **length == 1600).count(), 1);
        let others: u64 = lengths.iter().filter(|length| **length < 1600).sum();
        assert_eq!(others / 15, 160);
    }
}
