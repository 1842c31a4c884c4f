//! What is observed of the answers.

#[cfg(feature = "http")]
use crate::feedback::FeedbackReader;
use crate::hold::HeldBody;
use crate::limiter::OwnedLimiterPermit;
use http::Response;
use http::response::Parts;
use http_body::Body;

/// Who reads what the answers say for all calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Observes {
    /// As it is for the user of the layer: a client's are read.
    Unsaid {
        #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing reads answers"))]
        is_client: bool,
    },
    /// Said by the user.
    #[cfg(feature = "http")]
    By(FeedbackReader),
    #[cfg(feature = "http")]
    Nothing,
}

impl Observes {
    /// Unless the user has said something else.
    pub(super) fn of_a_server(self) -> Self {
        match self {
            Self::Unsaid { .. } => Self::Unsaid { is_client: false },
            #[cfg(feature = "http")]
            Self::By(_) | Self::Nothing => self,
        }
    }
}

#[cfg(feature = "http")]
impl Observes {
    pub(super) fn reader(self) -> Option<FeedbackReader> {
        match self {
            Self::Unsaid { is_client: true } => Some(FeedbackReader::new()),
            Self::By(reader) => Some(reader),
            Self::Unsaid { is_client: false } | Self::Nothing => None,
        }
    }

    /// What the head of an answer says. Of a success of which the body `tells` it is what is left.
    pub(super) fn observe_head<B>(
        self,
        permit: &OwnedLimiterPermit,
        answer: &Response<B>,
        body_tells: bool,
    ) {
        let Some(reader) = self.reader() else { return };
        let said = reader.read(answer.status(), answer.headers(), None);
        if body_tells {
            permit.observe_quotas(&said);
        } else {
            permit.observe(&said);
        }
    }

    /// And the body of an error.
    pub(super) fn observe_body<B: Body>(self, head: &Parts, body: HeldBody<B>) -> HeldBody<B> {
        let status = head.status;
        match self.reader() {
            Some(reader) if status.is_client_error() || status.is_server_error() => {
                body.observe_error_by(reader, status, &head.headers)
            }
            _ => body,
        }
    }
}

/// Nothing reads answers.
#[cfg(not(feature = "http"))]
#[expect(clippy::unused_self, reason = "as with the feature `http`")]
impl Observes {
    pub(super) fn observe_head<B>(self, _: &OwnedLimiterPermit, _: &Response<B>, _: bool) {}

    pub(super) fn observe_body<B: Body>(self, _: &Parts, body: HeldBody<B>) -> HeldBody<B> {
        body
    }
}
