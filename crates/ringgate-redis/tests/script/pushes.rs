//! What is published for those who wait.

use crate::scene::{Process, SECOND, Scene, TTL, asking, slots};
use crate::server::Server;
use redis::{Commands, Connection, PubSub, Value, cmd};
use ringgate_redis::script::{Ask, Pause, Return, Store, StoreError, Trip};

/// What the documentation says that a user must be allowed, with what it needs to publish and to listen.
const COMMANDS: &str = "+evalsha +script|load +time +info +hmget +hlen +pttl +hset +hdel +pexpire";
const PUBLISHING: &str = "+publish +subscribe &ringgate:*";

fn allow(connection: &mut Connection, rules: &str) {
    let mut set = cmd("ACL");
    set.arg("SETUSER").arg("agent").arg("reset").arg("on").arg(">secret");
    set.arg("~ringgate:{tests:*").arg("-@all");
    for rule in rules.split(' ') {
        set.arg(rule);
    }
    let _: () = set.query(connection).unwrap();
}

/// A pause, whose end nobody waits for.
fn pausing(process: &mut Process) -> Trip {
    process.next(Trip { pause: Pause::For(1_000_000_000), ..asking(0) })
}

/// By the server's own clock.
fn visit(store: &Store, user: &mut Connection, trip: &Trip) -> Result<u64, StoreError> {
    store.call_at(user, trip, None).map(|reply| reply.paused)
}

#[test]
fn a_user_with_the_least_permissions_publishes_and_listens() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    allow(&mut scene.connection, &format!("{COMMANDS} {PUBLISHING}"));
    let (mut user, mut listener) =
        (scene.server.connect_as("agent:secret@"), scene.server.connect_as("agent:secret@"));
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let refused: Result<Value, _> = cmd("SUBSCRIBE").arg("others").query(&mut user);
    assert_eq!(refused.unwrap_err().code(), Some("NOPERM"));
    visit(&scene.store, &mut user, &pausing(&mut process)).unwrap();
    let message: String = listener.get_message().unwrap().get_payload().unwrap();
    assert_eq!(message, "pause");
}

#[test]
fn who_may_not_publish_can_do_all_else() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    for rules in ["", " +publish", " &ringgate:*"] {
        allow(&mut scene.connection, &format!("{COMMANDS}{rules}"));
        let mut user = scene.server.connect_as("agent:secret@");
        let paused = visit(&scene.store, &mut user, &pausing(&mut process)).unwrap();
        assert!(paused > 0, "{rules}");
    }
    let publish = cmd("PUBLISH").arg(scene.store.key()).arg("end").query(&mut scene.connection);
    let _: () = publish.unwrap();
    let message: String = listener.get_message().unwrap().get_payload().unwrap();
    assert_eq!(message, "end");
}

#[test]
fn in_a_cluster_only_its_own_node_hears_it() {
    let server = Server::start_cluster();
    let scene = Scene::new(10, None);
    let rules = PUBLISHING.replace("+publish +subscribe", "+spublish +ssubscribe");
    allow(&mut server.connect(), &format!("{COMMANDS} {rules}"));
    let mut user = server.connect_as("agent:secret@");
    let mut listener = server.connect_as("agent:secret@");
    let _: Value = cmd("SSUBSCRIBE").arg(scene.store.key()).query(&mut listener).unwrap();
    visit(&scene.store, &mut user, &pausing(&mut Process::new(1))).unwrap();
    let message = format!("{:?}", listener.recv_response().unwrap());
    assert!(message.contains("smessage") && message.contains("pause"), "{message}");
}

/// What is published by a trip of this process, without the trips that it names.
fn heard(scene: &mut Scene, listener: &mut PubSub<'_>, who: &mut Process, trip: Trip) -> String {
    let heard = published(scene, listener, who, trip);
    let without_trip = heard.iter().map(|message| message.rsplit_once(' ').unwrap().0);
    without_trip.collect::<Vec<_>>().join(", ")
}

fn published(
    scene: &mut Scene,
    listener: &mut PubSub<'_>,
    who: &mut Process,
    trip: Trip,
) -> Vec<String> {
    scene.go(who, trip);
    let key = scene.store.key().to_owned();
    let _: () = scene.connection.publish(key, "end").unwrap();
    let mut heard = Vec::new();
    loop {
        let message: String = listener.get_message().unwrap().get_payload().unwrap();
        if message == "end" {
            return heard;
        }
        heard.push(message);
    }
}

fn waiting(need: u64, waited: u64) -> Trip {
    let ask = Ask { least: need, need, want: need };
    Trip { asks: vec![ask], waited: waited * SECOND, ..asking(0) }
}

#[test]
fn room_is_told_to_the_first_in_order_that_can_use_it_and_by_its_trip_to_the_next() {
    let mut scene = Scene::new(10, None);
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let [mut first, mut second, mut third, mut fourth] = [1, 2, 3, 4].map(Process::new);
    let granted_at = scene.go(&mut first, asking(10)).now;
    scene.go(&mut second, waiting(4, 5));
    scene.go(&mut third, waiting(2, 3));
    scene.go(&mut fourth, waiting(2, 1));
    let back = |amount| {
        let returns = vec![Return { window: 0, granted_at, amount }];
        Trip { returns, ..asking(0) }
    };
    let mut say = |who: &mut Process, trip| heard(&mut scene, &mut listener, who, trip);
    assert_eq!(say(&mut first, back(3)), "", "it is kept for the second, and not enough");
    assert_eq!(say(&mut first, back(1)), "room 0000000000000002");
    assert_eq!(say(&mut second, waiting(4, 5)), "");
    assert_eq!(say(&mut first, back(4)), "room 0000000000000003");
    assert_eq!(say(&mut third, waiting(2, 3)), "room 0000000000000004");
    assert_eq!(say(&mut fourth, waiting(2, 1)), "");
    assert_eq!(say(&mut first, asking(0)), "");
}

#[test]
fn a_need_that_is_no_more_is_room_for_others() {
    let mut scene = Scene::new(10, Some(4));
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let [mut first, mut second, mut third] = [1, 2, 3].map(Process::new);
    scene.go(&mut first, Trip { slots: slots(0, 2, 2).slots, ..asking(5) });
    let more = |need, amount, waited| Trip {
        slots: slots(0, need, need).slots,
        ..waiting(amount, waited)
    };
    // It needs the rest, and one more.
    let reply = scene.go(&mut second, more(4, 6, 5));
    assert_eq!((reply.windows[0].amount, reply.slots), (0, 2));
    scene.go(&mut third, more(1, 1, 1));
    let mut say = |who: &mut Process, trip| heard(&mut scene, &mut listener, who, trip);
    assert_eq!(say(&mut first, Trip { slots: slots(2, 2, 2).slots, ..asking(0) }), "");
    let told = "room 0000000000000003, slots 0000000000000003";
    assert_eq!(say(&mut second, asking(0)), told);
}

#[test]
fn what_a_dead_process_needed_is_room_for_others() {
    let mut scene = Scene::new(10, Some(4));
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let [mut first, mut second, mut third] = [1, 2, 3].map(Process::new);
    let more = |have, need, trip| Trip { slots: slots(have, need, need).slots, ..trip };
    scene.go(&mut first, more(0, 4, asking(1)));
    scene.go(&mut second, more(0, 1, waiting(10, 50)));
    scene.pass(TTL - SECOND);
    // It is kept for the second.
    assert_eq!(scene.go(&mut first, more(4, 3, asking(0))).slots, 3);
    let reply = scene.go(&mut third, more(0, 1, waiting(1, 1)));
    assert_eq!((reply.windows[0].amount, reply.slots), (0, 0));
    scene.pass(SECOND);
    let still = more(3, 3, asking(0));
    let told = heard(&mut scene, &mut listener, &mut first, still);
    assert_eq!(told, "slots 0000000000000002, room 0000000000000003, slots 0000000000000003");
}

#[test]
fn slots_are_told_to_one_after_the_other() {
    let mut scene = Scene::new(10, Some(4));
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let [mut first, mut second, mut third] = [1, 2, 3].map(Process::new);
    scene.go(&mut first, slots(0, 4, 4));
    let waits = |waited| Trip { waited: waited * SECOND, ..slots(0, 1, 1) };
    scene.go(&mut third, waits(1));
    scene.go(&mut second, waits(5));
    let mut say = |who: &mut Process, trip| heard(&mut scene, &mut listener, who, trip);
    assert_eq!(say(&mut first, slots(4, 2, 2)), "slots 0000000000000002");
    assert_eq!(say(&mut second, waits(5)), "slots 0000000000000003");
    assert_eq!(say(&mut third, waits(1)), "");
}

/// Broken by: who has just been told by an answer makes another trip for the same news, and finds nothing.
#[test]
fn news_name_the_last_trip_of_the_one_that_they_are_for() {
    let mut scene = Scene::new(10, None);
    let mut listener = scene.server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(scene.store.key()).unwrap();
    let [mut first, mut second] = [1, 2].map(Process::new);
    let granted_at = scene.go(&mut first, asking(10)).now;
    let mut back = |scene: &mut Scene, amount| {
        let returns = vec![Return { window: 0, granted_at, amount }];
        published(scene, &mut listener, &mut first, Trip { returns, ..asking(0) })
    };
    scene.go(&mut second, waiting(4, 5));
    assert_eq!(back(&mut scene, 4), ["room 0000000000000002 1"]);
    scene.go(&mut second, waiting(4, 5));
    scene.go(&mut second, waiting(4, 6));
    assert_eq!(back(&mut scene, 4), ["room 0000000000000002 3"]);
}
