//! Numbers from the fuzzer's bytes.

use arbitrary::Unstructured;

/// The rest of the input. At its end every number is the smallest allowed.
pub(crate) struct Bytes<'a>(Unstructured<'a>);

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.0.arbitrary().unwrap_or(false)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(crate) fn any_u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number from `least` to `most`.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        self.0.int_in_range(least..=most).unwrap_or(least)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// Removes one of `items`.
    pub(crate) fn take<T>(&mut self, items: &mut Vec<T>) -> Option<T> {
        if items.is_empty() { None } else { Some(items.remove(self.below(items.len()))) }
    }
}
