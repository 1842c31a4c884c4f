//! From a request to its response.

use crate::call::{Call, Route};
use crate::dialect::{Dialect, ErrorForm};
use crate::errors;
use crate::flight::InFlight;
use crate::ledger::{Ledger, Refusal};
use crate::plan::Plan;
use crate::sending::{Body, Sending, Sent, whole};
use crate::settings::Settings;
use crate::sse::Frame;
use crate::time::{millis, seconds};
use crate::{anthropic, openai, responses};
use core::time::Duration;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use std::sync::Arc;

/// The most that a request may have.
const LARGEST_BODY: usize = 32 << 20;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) settings: Settings,
}

/// Answers a request, or refuses it.
pub(crate) async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let route = Route::of_path(request.uri().path());
    let dialect = route.map_or(Dialect::OpenAi, Route::dialect);
    let call = match route {
        Some(route) if request.method() == Method::POST => read(route, request).await,
        Some(_) => Err(errors::invalid(405, "POST only")),
        None => Err(errors::invalid(404, "there is no such path")),
    };
    let call = match call {
        Ok(call) => call,
        Err(error) => {
            shared.ledger.invalid();
            return refuse(&error, dialect, None);
        }
    };
    let (judged, remains) = shared.ledger.arrive(call.size(), call.user.clone());
    let mut response = match judged {
        Ok(place) => answer(&shared.settings, &call, place).await,
        Err(refusal) => refused(refusal, dialect, &shared.settings),
    };
    remains.tell(dialect, response.headers_mut());
    response
}

async fn read(route: Route, request: Request<Incoming>) -> Result<Call, ErrorForm> {
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await;
    let body = body.map_err(|_| errors::invalid(413, "Request too large"))?;
    Call::read(route, &body.to_bytes()).map_err(|missing| errors::invalid(400, &missing))
}

/// A stream begins at once; an answer that is none begins when all of it is there.
async fn answer(settings: &Settings, call: &Call, place: InFlight) -> Response<Body> {
    let number = place.number;
    let plan = match call.route {
        Route::Embeddings => Plan::silent(number),
        _ => Plan::new(number, call, settings.output_tokens),
    };
    let takes = settings.takes(number);
    let (frames, pause) = if call.stream {
        let frames = stream(call, &plan);
        let pause = takes / u32::try_from(frames.len()).unwrap_or(u32::MAX).max(1);
        (frames, pause)
    } else {
        tokio::time::sleep(takes).await;
        let body = json(call, &plan);
        (vec![Frame::whole(&body).with_tokens(plan.output())], Duration::ZERO)
    };
    let error = call.stream.then(|| error_event(call.route));
    let sending = Sending {
        frames: frames.into_iter(),
        pause,
        place: Some(place),
        error,
        sent: Sent::default(),
    };
    let kind = if call.stream { "text/event-stream" } else { "application/json" };
    let mut response = Response::new(sending.into_body());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn stream(call: &Call, plan: &Plan) -> Vec<Frame> {
    match call.route {
        Route::Chat => openai::chat_stream(call, plan),
        Route::Responses => responses::response_stream(call, plan),
        Route::Messages => anthropic::message_stream(call, plan),
        Route::Embeddings => Vec::new(),
    }
}

fn json(call: &Call, plan: &Plan) -> serde_json::Value {
    match call.route {
        Route::Chat => openai::chat(call, plan),
        Route::Responses => responses::response(call, plan),
        Route::Embeddings => openai::embeddings(call, plan),
        Route::Messages => anthropic::message(call, plan),
    }
}

fn error_event(route: Route) -> Frame {
    let dialect = route.dialect();
    let error = errors::overloaded(dialect);
    let json = error.to_json(dialect);
    match route {
        Route::Messages => Frame::event("error", &json),
        Route::Responses => {
            let json = serde_json::json!({
                "type": "error", "code": error.code, "message": error.message, "param": null,
                "sequence_number": 0
            });
            Frame::event("error", &json)
        }
        Route::Chat | Route::Embeddings => Frame::data(&json),
    }
}

fn refused(refusal: Refusal, dialect: Dialect, settings: &Settings) -> Response<Body> {
    let (error, retry_after) = errors::refusal(refusal, dialect, settings.least());
    refuse(&error, dialect, retry_after)
}

fn refuse(error: &ErrorForm, dialect: Dialect, retry_after: Option<Duration>) -> Response<Body> {
    let mut response = Response::new(whole(error.to_json(dialect).to_string()));
    *response.status_mut() =
        StatusCode::from_u16(error.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = retry_after {
        tell_wait(wait, dialect, headers);
    }
    response
}

/// In whole seconds; OpenAI tells the milliseconds besides.
fn tell_wait(wait: Duration, dialect: Dialect, headers: &mut HeaderMap) {
    headers.insert(RETRY_AFTER, seconds(wait).into());
    if dialect == Dialect::OpenAi
        && let Ok(millis) = HeaderValue::try_from(millis(wait).to_string())
    {
        headers.insert(RETRY_AFTER_MS, millis);
    }
}
