use super::*;
use crate::admission::Admission;
use crate::config::{ByteSize, Limits};
use std::collections::VecDeque;
use std::future::poll_fn;
use tokio::time::timeout;

/// A body of which nothing comes after these parts; it ends with them or never.
struct Parts(VecDeque<Bytes>, bool);

impl Body for Parts {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Part> {
        match self.0.pop_front() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None if self.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn limits() -> Limits {
    Limits { image_bytes_max: ByteSize(1 << 20), request_bytes_max: ByteSize(1 << 20), ..Limits::default() }
}

/// Bytes of a message with its prefix.
fn message(compressed: bool, announced: u32, bytes: &[u8]) -> Vec<u8> {
    [&[u8::from(compressed)][..], &announced.to_be_bytes(), bytes].concat()
}

fn counted(admitted: &Admitted, stall: Duration, parts: &[&[u8]], ends: bool) -> Counted<Parts> {
    let parts = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
    Counted::new(Parts(parts, ends), Some(admitted.clone()), limits().message_bytes_max(), stall)
}

async fn next(body: &mut Counted<Parts>) -> Option<Result<Bytes, Status>> {
    let part = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    part.map(|part| part.map(|frame| frame.into_data().unwrap_or_default()))
}

#[tokio::test]
async fn a_caller_that_sends_nothing_is_given_up() {
    let admission = Admission::new(&limits());
    let requests = [admission.call(None, None), admission.stream(None, None)];
    for admitted in requests.map(|request| request.expect("a place")) {
        let mut body = counted(&admitted, Duration::from_millis(10), &[], false);
        let status = next(&mut body).await.expect("a status").expect_err("it stalled");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_message_that_drips_gets_no_new_time_with_every_byte() {
    let admission = Admission::new(&limits());
    let stall = Duration::from_secs(60);
    let requests = [admission.call(None, None), admission.stream(None, None)];
    for admitted in requests.map(|request| request.expect("a place")) {
        let mut body = counted(&admitted, stall, &[&message(false, 1 << 20, b"12")], false);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("sound");
        }
        body.waited = stall / 2;
        assert!(body.patience() <= stall / 2);
        body.came = 100 * BYTES_PER_SECOND_MIN;
        assert_eq!(body.patience(), stall, "what came buys no silence");
        body.waited = stall + Duration::from_secs(90);
        assert_eq!(body.patience(), Duration::from_secs(10), "its pace is what it has left");
    }
}

#[tokio::test]
async fn the_time_of_the_server_is_not_the_callers() {
    let admission = Admission::new(&limits());
    let stall = Duration::from_secs(1);
    for announced in [4, 2] {
        // Within a message, and after it.
        let admitted = admission.stream(None, None).expect("a place");
        let mut body = counted(&admitted, stall, &[&message(false, announced, b"12")], false);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("sound");
        }
        let working = admitted.works();
        assert!(timeout(2 * stall, next(&mut body)).await.is_err(), "the caller waits for the server");
        drop(working);
        body.body.0.push_back(Bytes::from_static(&[0]));
        next(&mut body).await.expect("a part").expect("sound");
        assert!(body.waited < stall / 2, "{:?}", body.waited);
        assert!(timeout(stall / 2, next(&mut body)).await.is_err(), "it has all of its time");
        let status = next(&mut body).await.expect("a status").expect_err("it stalled");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_body_that_waited_for_room_in_vain_may_be_asked_again() {
    let admission = Admission::new(&limits());
    let size = limits().message_bytes_max();
    let (first, second) = (admission.stream(None, None), admission.stream(None, None));
    let (first, second) = (first.expect("a place"), second.expect("a place"));
    assert!(first.next_message(size), "all of the room");
    let announced = message(false, size as u32, b"");
    let mut waits = counted(&second, Duration::from_millis(50), &[&announced, b"x"], true);
    next(&mut waits).await.expect("a part").expect("its prefix");
    let status = next(&mut waits).await.expect("a status").expect_err("there is no room");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    drop(next(&mut waits).await);
}

#[tokio::test]
async fn parts_end_with_their_message() {
    let admission = Admission::new(&limits());
    let admitted = admission.stream(None, None).expect("a place");
    let both = [message(false, 3, b"one"), message(false, 0, b""), message(false, 4, b"four")].concat();
    let mut body = counted(&admitted, Duration::from_secs(60), &[&both[..2], &both[2..]], true);
    let mut parts = Vec::new();
    while let Some(part) = next(&mut body).await {
        parts.push(part.expect("sound").len());
    }
    assert_eq!(parts, [2, 3, 3, 5, 5, 4]);
}

#[tokio::test]
async fn a_call_has_its_places_when_all_of_it_has_come() {
    let limits = Limits { requests_max: 1, ..limits() };
    let admission = Admission::new(&limits);
    let admitted = admission.call(None, None).expect("a place");
    let whole = message(false, 3, b"one");
    let mut body = counted(&admitted, Duration::from_secs(60), &[&whole], true);
    for _ in 0..2 {
        next(&mut body).await.expect("a part").expect("sound");
    }
    let other = admission.call(None, None).expect("nobody has the place");
    assert!(next(&mut body).await.is_none());
    assert!(other.enter().is_err(), "now somebody has");
    let mut body = counted(&other, Duration::from_secs(60), &[&whole, b"x"], false);
    for _ in 0..2 {
        next(&mut body).await.expect("a part").expect("sound");
    }
    let status = next(&mut body).await.expect("a status").expect_err("there is one message");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_stream_waits_for_room_and_a_call_is_refused() {
    let admission = Admission::new(&limits());
    // Two MiB, all of which one message takes.
    let size = limits().message_bytes_max();
    let (first, second) = (admission.stream(None, None), admission.stream(None, None));
    let (first, second) = (first.expect("a place"), second.expect("a place"));
    let announced = message(false, size as u32, b"");
    let mut holds = counted(&first, Duration::from_secs(60), &[&announced], false);
    next(&mut holds).await.expect("a part").expect("sound");
    let mut waits = counted(&second, Duration::from_secs(60), &[&announced, b"x"], false);
    next(&mut waits).await.expect("a part").expect("its prefix");
    let waiting = tokio::spawn(async move { next(&mut waits).await.map(|part| part.is_ok()) });
    first.crowded().await;
    drop((holds, first));
    assert_eq!(waiting.await.expect("no panic"), Some(true));
    let call = admission.call(None, None).expect("a place");
    let parts = [&announced[..], &vec![0; size / 2], &vec![0; size / 2]];
    let _taken = admission.call(None, None).map(|other| other.grow(size / 2 - 1).map(|()| other));
    let mut body = counted(&call, Duration::from_secs(60), &parts, true);
    for _ in 0..2 {
        next(&mut body).await.expect("a part").expect("there is room");
    }
    let status = next(&mut body).await.expect("a status").expect_err("there is none");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
}

#[tokio::test]
async fn what_comes_compressed_takes_the_room_of_what_it_may_become_when_it_has_come() {
    let admission = Admission::new(&limits());
    let half_open = admission.call(None, None).expect("a place");
    let mut body = counted(&half_open, Duration::from_secs(60), &[&message(true, 1 << 20, b"little")], false);
    for _ in 0..2 {
        next(&mut body).await.expect("a part").expect("sound");
    }
    let whole = admission.call(None, None).expect("a place");
    let zeros = [0; 1500];
    let mut body = counted(&whole, Duration::from_secs(60), &[&message(true, 1500, &zeros)], true);
    for _ in 0..2 {
        next(&mut body).await.expect("a part").expect("the half-open one takes what has come");
    }
    let size = limits().message_bytes_max();
    let third = admission.call(None, None).expect("a place");
    assert!(
        third.grow(size - 1500 * 1033 + 1).is_err(),
        "1500 bytes may become {INFLATED_MAX} times as many"
    );
    assert!(third.grow(size / 8).is_ok());
}
