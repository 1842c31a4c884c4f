//! The names of keys.

use std::fmt::Write;

/// Where a limit is kept: `ringgate:{namespace:name}`. The braces make a cluster keep all of it on one node.
///
/// What is not a letter, a digit, `-`, `_` or `.` is written as `%` and two digits for each byte. So two limits never have the same
/// key, whatever is in their names.
///
/// ```
/// use ringgate_redis::script::key;
///
/// assert_eq!(key("agents", "gpt-5.1"), "ringgate:{agents:gpt-5.1}");
/// assert_eq!(key("a", "b:c}"), "ringgate:{a:b%3Ac%7D}");
/// ```
#[must_use]
pub fn key(namespace: &str, name: &str) -> String {
    format!("ringgate:{{{}:{}}}", escaped(namespace), escaped(name))
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // A string takes all that is written.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
