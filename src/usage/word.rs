//! A short word out of single bytes.

/// The longest word that is told from others.
const LONGEST: usize = 16;

/// A word of at most 16 bytes. A longer one is no word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Word {
    bytes: [u8; LONGEST],
    /// One more than there is room for: it was too long.
    length: usize,
}

impl Word {
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte;
        }
        self.length = (self.length + 1).min(LONGEST + 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Empty if it was too long.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Makes it one that is too long.
    pub(super) fn spoil(&mut self) {
        self.length = LONGEST + 1;
    }
}
