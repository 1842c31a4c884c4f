//! What stands in the headers of an answer.

use super::dates;
use super::dialect::Dialect;
use super::forms;
use super::quota::{Quota, QuotaKind, QuotaWindow};
use core::time::Duration;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

/// No value that is read is longer.
const MOST_BYTES: usize = 64;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The time to wait, in the order in which official SDKs look: `retry-after-ms`, then `retry-after` in seconds, then as a
/// date. Of several equal headers, the longest.
pub(super) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
    let until = |text: &str| {
        let moment = dates::http_date(text).or_else(|| dates::rfc3339(text))?;
        let wait = moment.saturating_sub(now).min(forms::LONGEST);
        Some(wait).filter(|wait| !wait.is_zero())
    };
    longest(headers, &RETRY_AFTER_MS, |text| forms::delay(text, MILLISECOND))
        .or_else(|| longest(headers, &RETRY_AFTER, |text| forms::delay(text, SECOND)))
        .or_else(|| longest(headers, &RETRY_AFTER, until))
}

fn longest(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Option<Duration>,
) -> Option<Duration> {
    headers.get_all(name).iter().filter_map(|value| read(text_of(value)?)).max()
}

/// `x-should-retry`, if it is one thing only.
pub(super) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    let mut values = headers.get_all("x-should-retry").iter().map(|value| match text_of(value) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    });
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// The time since 1970 by the server's clock.
pub(super) fn date(headers: &HeaderMap) -> Option<Duration> {
    dates::http_date(text_of(headers.get(http::header::DATE)?)?)
}

/// The exception that AWS names, without what follows it.
pub(super) fn exception(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-amzn-errortype")?.to_str().ok()?;
    value.split(':').next().map(str::trim)
}

pub(super) fn text_of(value: &HeaderValue) -> Option<&str> {
    let bytes = value.as_bytes();
    if bytes.len() <= MOST_BYTES { core::str::from_utf8(bytes).ok() } else { None }
}

/// The quotas that headers tell, which come one number at a time and in any order.
#[derive(Default)]
pub(super) struct Quotas(Vec<Entry>);

struct Entry {
    quota: Quota,
    pool: Pool,
    /// All of it comes back at once, so that its reset is the time to wait.
    is_fixed_window: bool,
}

/// Whose limit it is. Two pools of one kind and window are two limits, and numbers of the one mean nothing in the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Organization,
    Project,
}

impl Quotas {
    /// All quotas in the headers.
    pub(super) fn read(headers: &HeaderMap, dialect: Option<Dialect>, now: Duration) -> Self {
        let mut quotas = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            if dialect.is_none_or(|dialect| dialect.sends(name))
                && let Some(text) = text_of(value)
            {
                quotas.add(name, text, dialect, now);
            }
        }
        quotas
    }

    /// Adds a header, whose name is in lower case. Of contradicting numbers it takes the one that is more careful.
    pub(super) fn add(&mut self, name: &str, text: &str, dialect: Option<Dialect>, now: Duration) {
        let Some(mut header) = Header::parse(name) else { return };
        if header.quota.window() == QuotaWindow::Unknown
            && let Some(dialect) = dialect
        {
            header.quota.set_window(dialect.window_of(header.quota.kind()));
        }
        let Some(number) = Number::read(header.field, text, now) else { return };
        let quota = self.entry(&header);
        match number {
            Number::Limit(limit) => quota.lower_limit(limit),
            Number::Remaining(remaining) => quota.lower_remaining(remaining),
            Number::Reset(reset_after) => quota.delay_reset(reset_after),
        }
    }

    /// There are two pools, four kinds, six windows and two sorts of them, so this search is short.
    fn entry(&mut self, header: &Header) -> &mut Quota {
        let Header { pool, quota, is_fixed_window, .. } = *header;
        let is_same = |entry: &Entry| {
            (entry.pool, entry.is_fixed_window) == (pool, is_fixed_window)
                && entry.quota.is_of(&quota)
        };
        let at = self.0.iter().position(is_same).unwrap_or_else(|| {
            self.0.push(Entry { quota, pool, is_fixed_window });
            self.0.len() - 1
        });
        &mut self.0[at].quota
    }

    /// How long until the fixed windows that are used up begin anew: the longest.
    pub(super) fn until_fixed_windows_end(&self) -> Option<Duration> {
        let used_up =
            self.0.iter().filter(|entry| entry.is_fixed_window && is_used_up(&entry.quota));
        let waits = used_up.filter_map(|entry| entry.quota.reset_after());
        waits.filter(|wait| !wait.is_zero()).max()
    }

    /// A quota of this window that is used up.
    pub(super) fn used_up(&self, window: QuotaWindow) -> Option<Quota> {
        let quotas = self.0.iter().map(|entry| entry.quota);
        quotas.filter(|quota| quota.window() == window).find(|quota| quota.remaining() == Some(0))
    }

    pub(super) fn into_quotas(self) -> impl Iterator<Item = Quota> {
        self.0.into_iter().map(|entry| entry.quota)
    }
}

fn is_used_up(quota: &Quota) -> bool {
    quota.remaining().is_none_or(|remaining| remaining == 0)
}

#[derive(Clone, Copy)]
enum Field {
    Limit,
    Remaining,
    Reset,
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "limit" => Self::Limit,
            "remaining" => Self::Remaining,
            "reset" => Self::Reset,
            _ => return None,
        })
    }
}

enum Number {
    Limit(u64),
    Remaining(u64),
    Reset(Duration),
}

impl Number {
    fn read(field: Field, text: &str, now: Duration) -> Option<Self> {
        Some(match field {
            Field::Limit => Self::Limit(forms::count(text)?),
            Field::Remaining => Self::Remaining(forms::count(text)?),
            Field::Reset => Self::Reset(forms::reset(text, now)?),
        })
    }
}

/// What the name of a header tells.
struct Header {
    field: Field,
    pool: Pool,
    quota: Quota,
    is_fixed_window: bool,
}

impl Header {
    fn parse(name: &str) -> Option<Self> {
        // Not `anthropic-priority-…` and `anthropic-fast-…`: those are of capacity bought besides.
        if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
            let (what, field) = rest.rsplit_once('-')?;
            return Self::new(Field::parse(field)?, what, QuotaWindow::Minute);
        }
        if let Some(field) = name.strip_prefix("x-tokenlimit-") {
            return Self::new(Field::parse(field)?, "tokens", QuotaWindow::Unknown)
                .map(Self::fixed);
        }
        let by_size = name.strip_prefix("ratelimitbysize-");
        if let Some(rest) = by_size.or_else(|| name.strip_prefix("x-ratelimitbysize-")) {
            let (field, window) = rest.split_once('-').unwrap_or((rest, "minute"));
            return Self::new(Field::parse(field)?, "tokens", window_of(window)?).map(Self::fixed);
        }
        Self::parse_common(name.strip_prefix("x-ratelimit-")?)
    }

    /// `limit`, `limit-requests` or `limit-requests-day`.
    fn parse_common(rest: &str) -> Option<Self> {
        let Some((field, what)) = rest.split_once('-') else {
            return Self::new(Field::parse(rest)?, "requests", QuotaWindow::Unknown)
                .map(Self::fixed);
        };
        let field = Field::parse(field)?;
        if let Some((what, window)) = what.rsplit_once('-')
            && let Some(window) = window_of(window)
        {
            return Self::new(field, what, window).map(Self::fixed);
        }
        Self::new(field, what, QuotaWindow::Unknown)
    }

    fn new(field: Field, what: &str, window: QuotaWindow) -> Option<Self> {
        let of_project = what.strip_prefix("project-");
        let kind = match of_project.unwrap_or(what) {
            "requests" | "req" => QuotaKind::Requests,
            "tokens" => QuotaKind::Tokens,
            "input-tokens" => QuotaKind::InputTokens,
            "output-tokens" => QuotaKind::OutputTokens,
            _ => return None,
        };
        let pool = if of_project.is_some() { Pool::Project } else { Pool::Organization };
        Some(Self { field, pool, quota: Quota::new(kind, window), is_fixed_window: false })
    }

    fn fixed(self) -> Self {
        Self { is_fixed_window: true, ..self }
    }
}

fn window_of(text: &str) -> Option<QuotaWindow> {
    Some(match text {
        "second" => QuotaWindow::Second,
        "minute" => QuotaWindow::Minute,
        "hour" => QuotaWindow::Hour,
        "day" => QuotaWindow::Day,
        "month" => QuotaWindow::Month,
        _ => return None,
    })
}
