//! The pages of ringgate's guide whose examples need other crates. Their examples are the tests of this crate, which has nothing else.
//!
//! The pages are in `docs/guide`. rustdoc shows all of them in `ringgate::guide`; the others are tests of `ringgate` itself.

/// A page, whose examples are compiled and run.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[cfg(doctest)]
        #[doc = include_str!(concat!("../../../docs/guide/", $file))]
        mod $name {}
    };
}

page!(async_openai, "async-openai.md");
page!(axum, "axum.md");
page!(observing, "observing.md");
page!(processes, "processes.md");
page!(reqwest, "reqwest.md");
page!(rig, "rig.md");
page!(testing, "testing.md");
page!(tower, "tower.md");
