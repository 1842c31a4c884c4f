//! Reading an answer in every way that it may come.

use ringgate::{Feedback, Usage, UsageReader};

/// What a reader says in the end.
pub(crate) type Said = (Option<Usage>, Option<Feedback>);

pub(crate) fn read_parts<'a>(
    mut reader: UsageReader,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Said {
    for part in parts {
        reader.feed(part);
    }
    (reader.usage(), reader.feedback().cloned())
}

/// What it says of an answer, which must not depend on how it comes: whole, cut anywhere, byte by byte.
#[track_caller]
pub(crate) fn read_by(reader: &UsageReader, answer: &[u8]) -> Said {
    let whole = read_parts(reader.clone(), [answer]);
    let show = || String::from_utf8_lossy(answer).into_owned();
    for cut in 0..answer.len() {
        let (first, second) = answer.split_at(cut);
        assert_eq!(read_parts(reader.clone(), [first, second]), whole, "{} at {cut}", show());
    }
    assert_eq!(read_parts(reader.clone(), answer.chunks(1)), whole, "{}", show());
    whole
}

#[track_caller]
pub(crate) fn read(answer: &str) -> Said {
    read_by(&UsageReader::new(), answer.as_bytes())
}

#[track_caller]
pub(crate) fn usage(answer: &str) -> Option<(u64, u64)> {
    let (usage, feedback) = read(answer);
    assert_eq!(feedback, None, "{answer}");
    usage.map(|usage| (usage.input, usage.output))
}
