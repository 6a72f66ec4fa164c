use super::*;
use crate::config::ByteSize;

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        image_bytes_max: ByteSize(MIB),
        request_bytes_max: ByteSize(16 * MIB),
        requests_max: 2,
        requests_per_connection_max: 2,
        query_images_max: 4,
        ..Limits::default()
    }
}

fn origin(limits: &Limits) -> Origin {
    Origin {
        connection: Arc::new(Party::connection(limits)),
        address: Arc::new(Party::address(&Limits::default())),
        activity: Activity::new(),
    }
}

#[test]
fn a_call_takes_the_servers_place_when_its_message_is_whole() {
    let limits = limits();
    let (admission, origins) = (Admission::new(&limits), [origin(&limits), origin(&limits)]);
    let call = |at: usize| admission.call(Some(&origins[at]), None);
    let half_open = [call(0), call(0)].map(|call| call.expect("its connection has two places"));
    assert!(call(0).is_err(), "and no third");
    let others = [call(1), call(1)].map(|call| call.expect("others are not concerned"));
    assert!(origins[1].activity.idle().is_some(), "nothing is done for them yet");
    others.iter().for_each(|call| call.enter().expect("the server has two places"));
    assert!(origins[1].activity.idle().is_none());
    let refused = half_open[0].enter().expect_err("they are taken").to_string();
    assert!(refused.starts_with("the server"), "{refused}");
    // Work goes on when its caller has left.
    let work = others[0].clone();
    drop(others);
    half_open[0].enter().expect("one came back");
    half_open[1].enter().expect_err("the other is still worked for");
    drop(work);
    half_open[1].enter().expect("now it is not");
    drop(half_open);
    assert!(admission.places.take(false, "the server").is_ok());
    assert!(origins[0].activity.idle().is_some());
}

#[test]
fn a_message_is_counted_once_whoever_holds_it() {
    let limits = limits();
    let (admission, origin) = (Admission::new(&limits), origin(&limits));
    let used = || admission.streams.used();
    let stream = admission.stream(Some(&origin), None).expect("there is a place");
    assert!(stream.next_message(MIB));
    let held = stream.hold(MIB / 2).expect("it has its room");
    assert_eq!(used(), MIB / 2, "what is not held is given back at once");
    assert!(stream.next_message(MIB));
    assert_eq!(used(), MIB + MIB / 2);
    let more = stream.hold(2 * MIB).expect("announced before it comes");
    assert_eq!(used(), 2 * MIB + MIB / 2);
    assert!(stream.hold(2 * MIB).is_err(), "more than half");
    assert!(!stream.next_message(2 * MIB));
    drop(stream);
    drop((held, more));
    assert_eq!(used(), 0, "what is kept outlives its request, and nothing else");
    let call = admission.call(Some(&origin), None).expect("there is a place");
    call.grow(MIB).and_then(|()| call.grow(MIB)).expect("calls have a pool of their own");
    assert_eq!((used(), admission.calls.used()), (0, 2 * MIB));
}

#[test]
fn a_little_more_than_was_announced_is_held_where_streams_fill_their_room() {
    let limits = limits();
    let (admission, origin) = (Admission::new(&limits), origin(&limits));
    let stream = || admission.stream(Some(&origin), None).expect("there is a place");
    let (full, upload) = (stream(), stream());
    assert!(full.next_message(4 * MIB - 100) && upload.next_message(100), "half of the room");
    let held = upload.hold(100 + SMALL_SURPLUS).expect("it is there already, and small");
    assert_eq!(admission.streams.used(), 4 * MIB + SMALL_SURPLUS);
    assert!(!upload.next_message(0), "the next one waits");
    assert!(upload.hold(SMALL_SURPLUS + 1).is_err(), "more is refused");
    drop((full, held));
    assert!(upload.next_message(100));
    upload.forget_message();
    assert_eq!(admission.streams.used(), 0);
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let limits = limits();
    let (admission, origin) = (Admission::new(&limits), origin(&limits));
    let call = || admission.call(Some(&origin), None);
    let first = call().expect("there is a place");
    let unread = first.answer(4 * MIB).expect("half of the room");
    assert!(first.answer(MIB).is_err());
    assert!(first.answer(1000).is_ok(), "a small one is told whatever there is");
    drop(first);
    assert!(call().is_err(), "nothing is worked out that could not be told");
    assert!(admission.call(None, None).is_ok(), "others are not concerned");
    drop(unread);
    assert!(call().is_ok());
}

#[test]
fn an_answer_of_a_stream_takes_the_room_of_answers() {
    let limits = limits();
    let (admission, origin) = (Admission::new(&limits), origin(&limits));
    let stream = || admission.stream(Some(&origin), None).expect("there is a place");
    let image = stream().answer(4 * MIB).expect("half of the room");
    assert_eq!((admission.answers.used(), admission.streams.used()), (4 * MIB, 0));
    let refused = stream().answer(MIB).expect_err("its connection has no more").to_string();
    assert!(refused.contains("bytes of answers"), "{refused}");
    drop(image);
    assert_eq!(admission.answers.used(), 0);
}

#[test]
fn one_connection_takes_half_of_the_models_queue() {
    let limits = limits();
    let (admission, origin) = (Admission::new(&limits), origin(&limits));
    let call = admission.call(Some(&origin), None).expect("there is a place");
    let pictures = [call.picture(), call.picture()];
    assert!(pictures.iter().all(Option::is_some) && call.picture().is_none(), "two of four");
    drop(pictures);
    assert!(call.picture().is_some());
}

#[tokio::test]
async fn work_finds_what_its_request_has_taken() {
    let admission = Admission::new(&limits());
    assert!(Admitted::present().is_none());
    let call = admission.call(None, None).expect("there is a place");
    let found = call.run(async { Admitted::present() }).await;
    assert!(found.is_some_and(|found| !found.lasts()));
}
