//! How large the agents' calls are, and which of them are given up half-way.

use crate::client::{ChatRequest, Message};
use crate::dice::Dice;
use crate::ticket::Ticket;
use ringgate_mock_provider::text_of;
use std::sync::Arc;

/// One call in so many hangs up.
const HANG_UPS: u32 = 10;

/// How many parts of an answer are read before hanging up; whole ones have twelve, very short ones fewer.
const HALF: usize = 6;

/// What all calls of a conversation have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversation {
    /// Tokens of the text that each call sends along.
    context: u64,
    max_tokens: Option<u64>,
}

impl Conversation {
    /// Where tokens are not counted: only the messages.
    pub(crate) const PLAIN: Self = Self { context: 0, max_tokens: None };

    /// A short chat three times in four, or one about a long text.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let is_long = dice.below(4) == 0;
        let (context, max_tokens) = if is_long {
            (1000 + dice.below(2000), 256 + dice.below(128))
        } else {
            (50 + dice.below(200), 128 + dice.below(128))
        };
        Self { context: context.into(), max_tokens: Some(max_tokens.into()) }
    }

    pub(crate) fn begin(self) -> Vec<Message> {
        if self.context == 0 { Vec::new() } else { vec![Message::user(text_of(self.context))] }
    }

    pub(crate) fn request(self, history: &[Message], ticket: &Arc<Ticket>) -> ChatRequest {
        let (messages, max_tokens) = (history.to_vec(), self.max_tokens);
        ChatRequest { messages, max_tokens, ticket: Arc::clone(ticket) }
    }

    /// After how many parts of its answer the call is given up, if it is.
    pub(crate) fn hangs_up(self, dice: &mut Dice) -> Option<usize> {
        (self.max_tokens.is_some() && dice.below(HANG_UPS) == 0).then_some(HALF)
    }
}
