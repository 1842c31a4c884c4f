//! Errors in streams that have begun.

use crate::answers::{read, read_by};
use ringgate::{Feedback, FeedbackReader, StopReason, Usage, UsageReader};
use std::time::Duration;

fn cool_down(millis: u64) -> Feedback {
    Feedback::cool_down(Duration::from_millis(millis))
}

/// Broken by: a member of an error that is not kept; the name of an event that is not read; a null that is an error.
#[test]
fn errors_of_each_form_are_read() {
    let table = [
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"details\":null,\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":\"req_1\"}\n\n",
            Feedback::overload(),
        ),
        (
            "data: {\"error\":{\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 34.337s.\"}}\n\n",
            cool_down(34_337),
        ),
        (
            "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 250ms.\",\"param\":null,\"sequence_number\":3}\n\n",
            cool_down(250),
        ),
        (
            "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"try again in 2s\"},\"usage\":null}}\n\n",
            cool_down(2_000),
        ),
        (
            "event: error\ndata: {\"code\":\"insufficient_quota\",\"message\":\"You exceeded your current quota.\"}\n\n",
            Feedback::stop(StopReason::QuotaExhausted).with_should_retry(false),
        ),
        (
            "{\"error\":{\"message\":\"Provider returned error\",\"code\":429}}",
            Feedback::cool_down(None),
        ),
    ];
    for (answer, expected) in table {
        let (usage, feedback) = read(answer);
        let feedback = feedback.unwrap_or_else(|| panic!("nothing: {answer}"));
        assert_eq!(usage, None);
        assert_eq!(
            (feedback.signal(), feedback.retry_after()),
            (expected.signal(), expected.retry_after()),
            "{answer}"
        );
    }
}

/// Broken by: what the model has written taken for an error; the name of an event that holds for the next one.
#[test]
fn what_is_no_error_says_nothing() {
    let table = [
        "data: {\"error\":null,\"choices\":[]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"error\":{\"type\":\"overloaded_error\"}}}]}\n\n",
        "data: {\"content\":\"event: error\\n\\n{\\\"error\\\":{\\\"type\\\":\\\"overloaded_error\\\"}}\"}\n\n",
        "data: {\"code\":\"rate_limit_exceeded\",\"message\":\"try again in 5s\"}\n\n",
        "event: error\n\ndata: {\"code\":\"rate_limit_exceeded\"}\n\n",
        "event: errors\ndata: {\"code\":\"rate_limit_exceeded\"}\n\n",
        "data: {\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no such model\"}}\n\n",
        "data: {\"message\":{\"type\":\"error\",\"content\":{\"error\":{\"code\":429}}}}\n\n",
    ];
    for answer in table {
        assert_eq!(read(answer), (None, None), "{answer}");
    }
}

/// Broken by: the last of two errors told; a usage beside an error that is lost.
#[test]
fn the_first_error_is_told_and_the_usage_all_the_same() {
    let answer = "data: {\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}\n\n\
        data: {\"error\":{\"type\":\"overloaded_error\"},\"usage\":{\"output_tokens\":9}}\n\n\
        data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n";
    assert_eq!(read(answer), (Some(Usage::new(25, 9)), Some(Feedback::overload())));
}

/// Broken by: a reader of errors that is not used.
#[test]
fn errors_are_read_with_the_settings_that_were_given() {
    let errors = FeedbackReader::new().max_pause(Duration::from_secs(3));
    let answer = b"{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"try again in 34s\"}}";
    let (_, feedback) = read_by(&UsageReader::new().feedback_reader(errors), answer);
    assert_eq!(feedback, Some(cool_down(3_000)));
}
