// The guide, as rustdoc shows it: `docs/guide.md`, and a module for each page in `docs/guide`.
//
// A page names its own targets, which are files, at its end. Of two definitions of a label the first one counts, so before each page
// stands where they lead here. `crates/ringgate-guide` checks that both lead to the same, and compiles the pages that need other crates.
#![cfg_attr(not(doctest), doc = include_str!("guide/links.md"))]
// Its examples pause tokio's clock.
#![cfg_attr(any(not(doctest), feature = "tokio"), doc = include_str!("../docs/guide.md"))]

/// A page whose examples are tests of this crate.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[cfg(any(not(doctest), feature = "tokio"))]
        #[cfg_attr(not(doctest), doc = include_str!("guide/links.md"))]
        #[doc = include_str!(concat!("../docs/guide/", $file))]
        pub mod $name {}
    };
}

/// A page whose examples need other crates.
macro_rules! page_of_other_crates {
    ($name:ident, $file:literal) => {
        #[cfg(not(doctest))]
        #[doc = include_str!("guide/links.md")]
        #[doc = include_str!(concat!("../docs/guide/", $file))]
        pub mod $name {}
    };
}

page!(choosing_limits, "choosing-limits.md");
page!(feedback, "feedback.md");
page!(retries, "retries.md");
page!(several_models, "several-models.md");
page!(shutdown, "shutdown.md");
page!(tokens, "tokens.md");
page!(waiting, "waiting.md");

page_of_other_crates!(async_openai, "async-openai.md");
page_of_other_crates!(axum, "axum.md");
page_of_other_crates!(observing, "observing.md");
page_of_other_crates!(processes, "processes.md");
page_of_other_crates!(reqwest, "reqwest.md");
page_of_other_crates!(rig, "rig.md");
page_of_other_crates!(testing, "testing.md");
page_of_other_crates!(tower, "tower.md");
