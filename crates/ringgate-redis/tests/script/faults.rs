//! A store with something else in it, without memory, without permissions, and one that is gone.

use crate::scene::{Process, SECOND, Scene, TTL, asking, terms};
use redis::{Commands, cmd};
use ringgate_redis::script::{
    Ask, LARGEST, Return, SlotAsk, Store, StoreError, Terms, Trip, Window, key,
};

/// What the documentation says that a user must be allowed.
const COMMANDS: &str = "+evalsha +script|load +time +info +hmget +hlen +pttl +hset +hdel +pexpire";

fn all_fields(scene: &mut Scene) -> Vec<(String, String)> {
    let key = scene.store.key().to_owned();
    let mut fields: Vec<(String, String)> = scene.connection.hgetall(key).unwrap();
    fields.sort();
    fields
}

#[test]
fn by_the_stores_own_clock() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let call =
        |scene: &mut Scene, trip: &Trip| scene.store.call_at(&mut scene.connection, trip, None);
    let first = call(&mut scene, &process.next(asking(0))).unwrap();
    // The server has been started just now.
    assert!((9 * SECOND..=10 * SECOND + SECOND / 5).contains(&first.quiet), "{first:?}");
    let second = call(&mut scene, &process.next(asking(0))).unwrap();
    assert!(second.now > first.now && second.epoch == first.epoch, "{first:?} {second:?}");
    let key = scene.store.key().to_owned();
    let left: u64 = scene.connection.pttl(key).unwrap();
    assert!(left > 86_400_000, "{left}");
}

#[tokio::test]
async fn over_an_async_connection_that_breaks() {
    let Scene { store, server, .. } = Scene::new(10, None);
    let client = server.client("");
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut process = Process::new(1);
    // The script is not loaded yet.
    let first = store.call(&mut connection, &process.next(asking(0))).await.unwrap();
    let second = store.call(&mut connection, &process.next(asking(0))).await.unwrap();
    assert_eq!(first.epoch, second.epoch);
    drop(server);
    let refused = store.call(&mut connection, &process.next(asking(0))).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused:?}");
}

#[test]
fn something_else_at_the_key_is_left_alone() {
    let mut scene = Scene::new(10, None);
    let key = scene.store.key().to_owned();
    let trip = Process::new(1).next(asking(1));
    let _: () = scene.connection.set(&key, "a string").unwrap();
    assert!(matches!(scene.call(&trip), Err(StoreError::Foreign)));
    let _: () = scene.connection.del(&key).unwrap();
    let _: () = scene.connection.hset(&key, "name", "another hash").unwrap();
    assert!(matches!(scene.call(&trip), Err(StoreError::Foreign)));
    assert_eq!(all_fields(&mut scene), [("name".to_owned(), "another hash".to_owned())]);
}

#[test]
fn a_state_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
    let mut scene = Scene::new(10, Some(3));
    let mut process = Process::new(1);
    scene.take(&mut process, 2);
    let key = scene.store.key().to_owned();
    let good = all_fields(&mut scene);
    let mut refused = 0;
    for (field, value) in &good {
        for odd in ["", "nan", "inf", "-1", "x", "1e300", "9007199254740993", "1,2|3,,|"] {
            let _: () = scene.connection.hset(&key, field, odd).unwrap();
            let before = all_fields(&mut scene);
            let mut asks = process;
            match scene.call(&asks.next(asking(1))) {
                Ok(reply) => assert!(reply.windows[0].amount <= 1, "{reply:?}"),
                Err(StoreError::Broken | StoreError::Foreign | StoreError::Limits(_)) => {
                    assert_eq!(all_fields(&mut scene), before);
                    refused += 1;
                }
                Err(error) => panic!("{field} = {odd}: {error}"),
            }
            let _: () = scene.connection.del(&key).unwrap();
            let _: () = scene.connection.hset_multiple(&key, &good).unwrap();
        }
        let _ = value;
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn a_script_that_was_flushed_is_loaded_again() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    assert_eq!(scene.take(&mut process, 4), 4);
    let _: () = cmd("SCRIPT").arg("FLUSH").query(&mut scene.connection).unwrap();
    assert_eq!(scene.take(&mut process, 10), 6);
}

#[test]
fn a_full_store_refuses_and_nothing_has_changed() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    scene.take(&mut process, 4);
    let before = all_fields(&mut scene);
    let memory = |scene: &mut Scene, most: u64| {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(most);
        let _: () = set.query(&mut scene.connection).unwrap();
    };
    memory(&mut scene, 1);
    // Also one that would first of all remove something.
    scene.pass(20 * SECOND);
    let refused = scene.call(&process.next(asking(1)));
    assert!(matches!(refused, Err(StoreError::OutOfMemory(_))), "{refused:?}");
    assert_eq!(all_fields(&mut scene), before);
    memory(&mut scene, 0);
    assert_eq!(scene.take(&mut process, 10), 10);
}

#[test]
fn the_least_permissions_are_enough_and_each_is_needed() {
    let mut scene = Scene::new(10, None);
    // So short that there is something to grant and to remove by the server's own clock.
    let window = Window { limit: 10, kept: 1, tick: 1, produced: false };
    let terms = Terms { windows: vec![window], slots: None, time_to_live: 1, fallback: None };
    scene.store = scene.store.with_terms(terms.clone());

    assert_eq!(visit(&mut scene, COMMANDS).map_err(|error| error.to_string()), Ok(()));
    let others = Store::new("others", "scene", terms);
    let mut user = scene.server.connect_as("agent:secret@");
    let refused = others.call_at(&mut user, &Process::new(1).next(asking(1)), None);
    assert!(matches!(refused, Err(StoreError::NoPermission(_))), "{refused:?}");

    for command in COMMANDS.split(' ') {
        let refused = visit(&mut scene, &COMMANDS.replace(command, "+ping"));
        assert!(refused.is_err(), "{command} is not needed");
    }
}

/// Everything that the script does, as a user who may call these commands.
fn visit(scene: &mut Scene, commands: &str) -> Result<(), StoreError> {
    let mut set = cmd("ACL");
    set.arg("SETUSER").arg("agent").arg("reset").arg("on").arg(">secret");
    set.arg("~ringgate:{tests:*").arg("-@all");
    for command in commands.split(' ') {
        set.arg(command);
    }
    let _: () = set.query(&mut scene.connection).unwrap();
    let _: () = cmd("SCRIPT").arg("FLUSH").query(&mut scene.connection).unwrap();
    let key = scene.store.key().to_owned();
    let _: () = scene.connection.del(key).unwrap();
    let mut user = scene.server.connect_as("agent:secret@");
    let mut process = Process::new(1);
    let mut granted = 0;
    while granted < 3 {
        let trip = process.next(asking(1));
        let reply = scene.store.call_at(&mut user, &trip, None)?;
        process.take(&trip, &reply);
        granted += reply.windows[0].amount;
    }
    Ok(())
}

#[test]
fn odd_terms_and_amounts_are_errors_or_the_largest_there_are() {
    let mut scene = Scene::new(10, None);
    let trip = Process::new(1).next(asking(1));
    let window = Window { limit: 1, kept: SECOND, tick: SECOND, produced: false };
    let odd = [
        vec![Window { tick: 0, ..window }],
        vec![Window { tick: 1, ..window }],
        vec![window; 9],
        vec![Window { kept: u64::MAX, ..window }],
    ];
    for windows in odd {
        let store = scene.store.with_terms(Terms { windows, ..terms(1, None) });
        let refused = store.call_at(&mut scene.connection, &trip, scene.at);
        assert!(matches!(refused, Err(StoreError::Arguments)), "{refused:?}");
    }

    let most = u64::MAX;
    scene.store = scene.store.with_terms(Terms { time_to_live: TTL, ..terms(most, Some(most)) });
    let ask = Ask { least: most, need: most, want: most };
    let returns = vec![Return { window: 0, granted_at: most, amount: most }; 100];
    let slots = SlotAsk { have: most, need: most, want: most };
    let trip = Trip { waited: most, asks: vec![ask], returns, slots, ..trip };
    let reply = scene.call(&trip).unwrap();
    assert_eq!((reply.windows[0].amount, reply.slots), (LARGEST, LARGEST));
}

#[test]
fn other_limits_than_those_of_the_state_are_an_error() {
    let mut scene = Scene::new(10, None);
    scene.take(&mut Process::new(1), 1);
    let store = scene.store.with_terms(terms(11, None));
    let trip = Process::new(2).next(asking(1));
    let refused = store.call_at(&mut scene.connection, &trip, scene.at);
    assert!(matches!(refused, Err(StoreError::Limits(_))), "{refused:?}");
}

#[test]
fn a_server_that_is_gone_is_an_error() {
    let Scene { mut connection, store, at, server } = Scene::new(10, None);
    drop(server);
    let trip = Process::new(1).next(asking(1));
    let refused = store.call_at(&mut connection, &trip, at).unwrap_err();
    assert!(matches!(refused, StoreError::Away(_)) && refused.is_temporary(), "{refused:?}");
}

#[test]
fn no_two_names_share_a_key() {
    let names = ["a", "a:b", "a}", "{a", "a%3Ab", "A", "", "ä", "a\0", "a\n", "*"];
    let mut keys: Vec<String> =
        names.iter().flat_map(|first| names.map(|second| key(first, second))).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    for key in keys {
        assert!(key.matches(['{', '}']).count() == 2 && key.matches(':').count() == 2, "{key}");
    }
}
