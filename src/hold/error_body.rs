//! The body of an error, read while it passes.

use super::call::More;
use crate::feedback::{Feedback, FeedbackReader};
use core::mem;
use http::{HeaderMap, StatusCode};

/// As much as is kept of one.
const MOST_BYTES: usize = 16 * 1024;

/// Keeps the first bytes of an error's body, and reads them with its status and headers at its end.
pub(crate) struct ErrorBody<T> {
    reader: FeedbackReader,
    status: StatusCode,
    headers: HeaderMap,
    kept: Vec<u8>,
    bytes: PiecesOf<T>,
}

/// Passes on the bytes of an item, in pieces.
pub(super) type PiecesOf<T> = fn(&T, &mut dyn FnMut(&[u8]));

impl<T> ErrorBody<T> {
    pub(super) fn new(
        reader: FeedbackReader,
        status: StatusCode,
        headers: &HeaderMap,
        bytes: PiecesOf<T>,
    ) -> Self {
        Self { reader, status, headers: headers.clone(), kept: Vec::new(), bytes }
    }

    pub(super) fn note(&mut self, item: &T) {
        let kept = &mut self.kept;
        (self.bytes)(item, &mut |bytes| {
            let room = MOST_BYTES - kept.len();
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.kept.len() == MOST_BYTES
    }

    /// What the body adds to the head.
    pub(super) fn read(&mut self) -> Option<More> {
        let kept = mem::take(&mut self.kept);
        if kept.is_empty() {
            return None;
        }
        let read = |body| self.reader.read(self.status, &self.headers, body);
        let (head, all): (Feedback, _) = (read(None), read(Some(&kept)));
        (all != head).then_some(More { head, all })
    }
}
