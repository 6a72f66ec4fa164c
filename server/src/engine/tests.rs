use super::lane::Memory;
use super::*;
use crate::admission::{Activity, Admission, Origin, Party};
use crate::config::Limits;
use crate::model::Model;
use lapel_heads::{
    ALEXNET_FILE, Backbone, Canvas, EXTRACT_PARTS_FILE, FeatureLayout, PartsCase, Photo, alexnet_folder,
    load_backbone,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc as std_mpsc};
use std::time::Duration;

/// The shipped backbone, which cannot bear pictures whose first pixel is black, or while it is broken any.
struct Delicate {
    backbone: Arc<dyn Backbone>,
    broken: Arc<AtomicBool>,
}

impl Backbone for Delicate {
    fn fingerprint(&self) -> &str {
        self.backbone.fingerprint()
    }

    fn input_side(&self) -> usize {
        self.backbone.input_side()
    }

    fn layout(&self) -> FeatureLayout {
        self.backbone.layout()
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<candle_core::Tensor> {
        assert!(!self.broken.load(Ordering::Relaxed), "broken");
        assert!(batch.iter().all(|canvas| canvas.rgb()[..3] != [0; 3]), "a black pixel");
        self.backbone.forward(batch)
    }
}

/// The shipped backbone, which makes a canvas only when it is let go on.
struct Held {
    backbone: Arc<dyn Backbone>,
    /// Canvases that were begun.
    begun: Arc<AtomicUsize>,
    go_on: Mutex<std_mpsc::Receiver<()>>,
}

impl Backbone for Held {
    fn fingerprint(&self) -> &str {
        self.backbone.fingerprint()
    }

    fn input_side(&self) -> usize {
        self.backbone.input_side()
    }

    fn layout(&self) -> FeatureLayout {
        self.backbone.layout()
    }

    fn canvas(&self, photo: &Photo) -> Canvas {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // A test that is over lets everything go on.
        let _ = self.go_on.lock().unwrap_or_else(PoisonError::into_inner).recv();
        self.backbone.canvas(photo)
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<candle_core::Tensor> {
        self.backbone.forward(batch)
    }
}

fn shipped() -> Arc<dyn Backbone> {
    let bytes = std::fs::read(alexnet_folder().join(ALEXNET_FILE)).expect("shipped");
    load_backbone(&bytes).expect("shipped")
}

fn computing(backbone: Arc<dyn Backbone>) -> Computing {
    let parts = std::fs::read(alexnet_folder().join(EXTRACT_PARTS_FILE)).expect("shipped");
    let model = Arc::new(Model::new(backbone, &parts).expect("a model"));
    Computing { model, heads: Arc::new([]) }
}

/// A model on the delicate backbone, and what breaks it.
fn delicate() -> (Computing, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    (computing(Arc::new(Delicate { backbone: shipped(), broken: broken.clone() })), broken)
}

fn canvas(first: u8) -> Canvas {
    let mut rgb = vec![200; 224 * 224 * 3];
    rgb[..3].fill(first);
    Photo::from_rgb(224, 224, rgb).expect("sized").fit(224)
}

type Answer = oneshot::Receiver<Result<Embedding, EngineError>>;

/// A picture in a lane's queue; its first pixel is black for 0.
fn job(first: u8, on: &Computing, places: &Arc<Semaphore>) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let place = Place::from(places.clone().try_acquire_owned().expect("room"));
    (Job { input: Input::Canvas(canvas(first)), on: on.clone(), reply, place }, answer)
}

fn lane() -> (Lane, Arc<AtomicU32>) {
    let failed_in_a_row = Arc::new(AtomicU32::new(0));
    (Lane::new(failed_in_a_row.clone(), mpsc::channel(1).0), failed_in_a_row)
}

#[test]
fn a_picture_that_the_model_cannot_bear_fails_alone() {
    let ((lane, failed), (on, _), places) = (lane(), delicate(), Arc::new(Semaphore::new(9)));
    let (batch, answers): (Vec<Job>, Vec<_>) =
        [9, 0, 9, 9].map(|first| job(first, &on, &places)).into_iter().unzip();
    lane.run(batch, &mut Memory::default());
    let outcomes: Vec<_> = answers.into_iter().map(|a| a.blocking_recv().expect("answered")).collect();
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
    assert!(matches!(outcomes[1], Err(EngineError::Failed(_))));
    let case = outcomes[0].as_ref().expect("embedded").features.parts.case;
    assert!(PartsCase::ALL.contains(&case));
    assert_eq!(failed.load(Ordering::Relaxed), 0, "the model is well: the pictures after it were embedded");
    assert_eq!(places.available_permits(), 9, "every place is given back");
}

#[test]
fn bad_pictures_alone_never_make_the_server_unready() {
    let ((lane, _), (on, _), places) = (lane(), delicate(), Arc::new(Semaphore::new(9)));
    let mut memory = Memory::default();
    for _ in 0..9 {
        let (job, answer) = job(0, &on, &places);
        lane.run(vec![job], &mut memory);
        assert!(matches!(answer.blocking_recv(), Ok(Err(EngineError::Failed(_)))));
        assert!(lane.is_healthy(), "the pictures are to blame");
    }
}

#[test]
fn a_broken_model_makes_it_unready_until_it_works_again() {
    let ((lane, _), (on, broken), places) = (lane(), delicate(), Arc::new(Semaphore::new(9)));
    let mut memory = Memory::default();
    broken.store(true, Ordering::Relaxed);
    for healthy in [true, true, false, false] {
        lane.run(vec![job(9, &on, &places).0], &mut memory);
        assert_eq!(lane.is_healthy(), healthy);
    }
    lane.try_again(&mut memory);
    assert!(!lane.is_healthy(), "it is broken still");
    broken.store(false, Ordering::Relaxed);
    lane.try_again(&mut memory);
    assert!(lane.is_healthy(), "without a picture from anybody");
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happens that {what}");
}

/// Work whose caller left keeps its places until it has ended, and then gives all of them back.
async fn places_outlast_their_caller(priority: Priority) {
    let config =
        EngineConfig { query_max: 4, bulk_max: 4, decoding_max: 1_000_000, photo: PhotoLimits::default() };
    let (engine, _failures) = Engine::start(config).expect("threads");
    let begun = Arc::new(AtomicUsize::new(0));
    let (let_go_on, go_on) = std_mpsc::channel();
    let held = Held { backbone: shipped(), begun: begun.clone(), go_on: Mutex::new(go_on) };
    let photo = Photo::from_rgb(500, 400, vec![200; 500 * 400 * 3]).expect("sized");
    let embedding = engine.embed(lapel_render::to_jpeg(&photo), computing(Arc::new(held)), priority);
    tokio::select! {
        _ = embedding => panic!("it is held"),
        () = until("it is decoded", || begun.load(Ordering::SeqCst) == 1) => {}
    }
    let (pixels, places) = match priority {
        Priority::Query => (&engine.query_pixels, &engine.query_permits),
        Priority::Bulk => (&engine.bulk_pixels, &engine.bulk_permits),
    };
    assert_eq!((pixels.available_permits(), places.available_permits()), (800, 3), "the work goes on");
    let_go_on.send(()).expect("it waits");
    until("all is given back", || (pixels.available_permits(), places.available_permits()) == (1000, 4))
        .await;
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_query_that_was_left_keeps_its_places_until_its_work_has_ended() {
    places_outlast_their_caller(Priority::Query).await;
}

#[tokio::test]
async fn bulk_work_that_was_left_keeps_its_places_until_it_has_ended() {
    places_outlast_their_caller(Priority::Bulk).await;
}

#[test]
fn nothing_is_decoded_for_a_caller_that_has_left() {
    let (places, abandoned) = (Arc::new(Semaphore::new(2)), CancellationToken::new());
    let take = || places.clone().try_acquire_owned().expect("room");
    abandoned.cancel();
    let decoding = Decoding {
        image: b"no picture at all".to_vec(),
        limits: PhotoLimits::default(),
        model: delicate().0.model,
        abandoned,
        place: Place::from(take()),
        _decoder: None,
        _pixels: take(),
    };
    let refused = decoding.run().err();
    assert!(matches!(refused, Some(crate::Error::Engine(EngineError::Stopped))), "{refused:?}");
    assert_eq!(places.available_permits(), 2);
}

#[tokio::test]
async fn one_connection_leaves_half_of_the_queue_to_others() {
    let limits = Limits { query_images_max: 4, ..Limits::default() };
    let config =
        EngineConfig { query_max: 4, bulk_max: 4, decoding_max: 1_000_000, photo: PhotoLimits::default() };
    let (engine, _failures) = Engine::start(config).expect("threads");
    let admission = Admission::new(&limits);
    let call = |origin: &Origin| admission.call(Some(origin), None).expect("there is a place");
    let origin = || Origin {
        connection: Arc::new(Party::connection(&limits)),
        address: Arc::new(Party::address(&Limits::default())),
        activity: Activity::new(),
    };
    let (greedy, other) = (origin(), origin());
    let place = |origin: &Origin| call(origin).run(engine.place(Priority::Query));
    let held = [place(&greedy).await, place(&greedy).await];
    assert!(held.iter().all(Result::is_ok));
    assert!(matches!(place(&greedy).await, Err(EngineError::Busy(2))));
    let others = [place(&other).await, place(&other).await];
    assert!(others.iter().all(Result::is_ok), "the other half");
    drop(held);
    assert!(place(&greedy).await.is_ok());
}
