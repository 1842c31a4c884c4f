//! What is published for those who wait.

use crate::scene::{Process, Scene, asking};
use crate::server::Server;
use redis::{Connection, Value, cmd};
use ringgate_redis::script::{Pause, Store, StoreError, Trip};

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
