//! What the store may do wrong.
