//! What a call has used, as its answer tells it while it passes by; and what it expects to use, as its request tells it.
//!
//! ```text
//! reader                         bytes go in, the usage so far comes out
//! lines                          the data of a stream's events (SSE)
//! scan                           a document of JSON, without what nobody asks for
//! numbers                        the usage of each provider's form
//! word                           a short word out of single bytes
//! estimate                       a request's bytes go in, what it expects to use comes out
//! ```
//!
//! An answer may be large, and comes in pieces of any size. So each byte is looked at once, and only the members of a document
//! that may tell the usage or an error are kept until the document ends: at most 8 KiB, however large it is.
//!
//! All of it is text that somebody else wrote. What cannot be read has not been said; there is no error.

mod estimate;
mod lines;
mod numbers;
mod reader;
mod scan;
mod word;

pub use reader::UsageReader;
