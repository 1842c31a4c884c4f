//! Clusters of several nodes.

use crate::server::{Server, wait_until};
use crate::sharing::{
    Deaf, TEN_MINUTES, allow_agent, connect_two, pushes_arrive, scarce, share_exactly, tokens,
};
use crate::{builder, soon, until};
use redis::cluster::ClusterClientBuilder;
use redis::cmd;
use ringgate_redis::script::key;
use ringgate_redis::{SharedLimiter, SharedLimiterBuilder};
use std::sync::Arc;

/// By way of a node that has not got the limit.
async fn connect(nodes: &[Server], builder: SharedLimiterBuilder) -> SharedLimiter {
    let slot = slot_of_the_limit(nodes);
    let other = nodes.iter().find(|node| !owns(node, slot)).unwrap();
    let client = ClusterClientBuilder::new([other.url()]);
    soon(builder.connect_with(client)).await.unwrap()
}

fn slot_of_the_limit(nodes: &[Server]) -> u16 {
    nodes[0].ask(cmd("CLUSTER").arg("KEYSLOT").arg(key("tests", "real")))
}

/// By its own account.
fn owns(node: &Server, slot: u16) -> bool {
    let all: Vec<(u16, u16, Vec<redis::Value>)> = ranges(node);
    let port = i64::from(node.port());
    all.iter().any(|(first, last, owner)| {
        (*first..=*last).contains(&slot) && owner.get(1) == Some(&redis::Value::Int(port))
    })
}

fn ranges(node: &Server) -> Vec<(u16, u16, Vec<redis::Value>)> {
    let all: Vec<Vec<redis::Value>> = node.ask(cmd("CLUSTER").arg("SLOTS"));
    let range = |range: Vec<redis::Value>| {
        let mut range = range.into_iter();
        let mut number = || redis::from_redis_value(range.next().unwrap()).unwrap();
        let (first, last) = (number(), number());
        (first, last, redis::from_redis_value(range.next().unwrap()).unwrap())
    };
    all.into_iter().map(range).collect()
}

fn subscribers(nodes: &[Server]) -> u64 {
    let of = |node: &Server| {
        let told: (String, u64) =
            node.ask(cmd("PUBSUB").arg("SHARDNUMSUB").arg(key("tests", "real")));
        told.1
    };
    nodes.iter().map(of).sum()
}

fn is_elsewhere(limiter: &SharedLimiter, epoch: Option<u64>) -> bool {
    let status = limiter.status();
    status.is_connected() && status.epoch != epoch
}

/// Moves a slot with all that is in it.
fn move_slot(nodes: &[Server]) {
    let slot = slot_of_the_limit(nodes);
    let id = |node: &Server| node.ask::<String>(cmd("CLUSTER").arg("MYID"));
    let from = nodes.iter().find(|node| owns(node, slot)).unwrap();
    let to = nodes.iter().find(|node| !owns(node, slot)).unwrap();
    let set = |node: &Server, state: &str, id: &str| {
        node.ask::<()>(cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(state).arg(id));
    };
    set(to, "IMPORTING", &id(from));
    set(from, "MIGRATING", &id(to));
    let mut migrate = cmd("MIGRATE");
    migrate.arg("127.0.0.1").arg(to.port()).arg(key("tests", "real")).arg(0).arg(5000);
    from.ask::<()>(&migrate);
    for node in [to, from] {
        set(node, "NODE", &id(to));
    }
    wait_until("the slot does not move", || {
        nodes.iter().all(|node| owns(node, slot) == (node.port() == to.port()))
    });
}

#[tokio::test]
async fn in_a_cluster_two_processes_share_a_limit_exactly() {
    let nodes = Server::start_nodes(3);
    let first = connect(&nodes, builder(scarce())).await;
    let second = connect(&nodes, builder(scarce())).await;
    share_exactly(&first, &second).await;
    // All of it is on one node.
    let keys = |node: &Server| node.ask::<Vec<String>>(cmd("KEYS").arg("*"));
    let all: Vec<String> = nodes.iter().flat_map(keys).collect();
    assert_eq!(all, [key("tests", "real")]);
}

#[tokio::test]
async fn in_a_cluster_those_who_wait_are_told() {
    let nodes = Server::start_nodes(3);
    let connect = |limits| connect(&nodes, builder(limits).time_to_live(TEN_MINUTES));
    let [first, second] = connect_two(connect, tokens()).await;
    pushes_arrive(&first, &second, || subscribers(&nodes)).await;
}

#[tokio::test]
async fn in_a_cluster_a_user_with_the_least_permissions_is_enough() {
    let nodes = Server::start_nodes(3);
    for node in &nodes {
        allow_agent(node, "+spublish +ssubscribe +cluster|slots +ping");
    }
    let connect = |limits| {
        let client = ClusterClientBuilder::new([nodes[0].url_as("agent:secret@")]);
        let builder = builder(limits).time_to_live(TEN_MINUTES);
        async move { soon(builder.connect_with(client)).await.unwrap() }
    };
    let [first, second] = connect_two(connect, tokens()).await;
    pushes_arrive(&first, &second, || subscribers(&nodes)).await;
}

#[tokio::test]
async fn a_node_that_does_not_answer_does_not_matter_to_limits_on_others() {
    let mut nodes = Server::start_nodes(3);
    let slot = slot_of_the_limit(&nodes);
    let first = connect(&nodes, builder(scarce())).await;
    let place = nodes.iter().position(|node| !owns(node, slot)).unwrap();
    let other = nodes.remove(place);
    other.freeze();
    // The client sends the script to all nodes, and waits for all of them.
    for node in &nodes {
        node.ask::<()>(cmd("SCRIPT").arg("FLUSH"));
    }
    let second = connect(&nodes, builder(scarce())).await;
    share_exactly(&first, &second).await;
}

/// The state goes along, but another server cannot know whether it is the newest. What was subscribed to is ended by a message that was taken for
/// the answer to the next command: all calls were refused then.
#[tokio::test]
async fn a_limit_whose_slot_moves_while_a_call_begins_is_found_there() {
    let nodes = Server::start_nodes(3);
    let connect = |limits| connect(&nodes, builder(limits).time_to_live(TEN_MINUTES));
    let [first, second] = connect_two(connect, tokens()).await;
    let held = [soon(first.acquire()).await.unwrap(), soon(second.acquire()).await.unwrap()];
    until(|| subscribers(&nodes) == 2).await;
    let epoch = first.status().epoch;
    // Both look at what has come meanwhile only when they begin a call.
    move_slot(&nodes);
    let calls = [&first, &second]
        .map(|limiter| tokio::spawn(limiter.call().input_tokens(1).acquire_owned()));
    until(|| [&first, &second].iter().all(|limiter| is_elsewhere(limiter, epoch))).await;
    assert_eq!(first.status().epoch, second.status().epoch);
    assert!(first.status().is_quiet && second.status().is_quiet);
    assert!(calls.iter().all(|call| !call.is_finished()));
    drop(held);
}

/// Nobody listened where the limit was then.
#[tokio::test]
async fn those_who_wait_for_news_follow_a_slot_that_moves() {
    let nodes = Arc::new(Server::start_nodes(3));
    let connect = |limits| connect(&nodes, builder(limits).time_to_live(TEN_MINUTES));
    let [first, second] = connect_two(connect, tokens()).await;
    let held = [soon(first.acquire()).await.unwrap(), soon(second.acquire()).await.unwrap()];
    until(|| subscribers(&nodes) == 2).await;
    let moved = Arc::clone(&nodes);
    tokio::task::spawn_blocking(move || move_slot(&moved)).await.unwrap();
    until(|| subscribers(&nodes) == 2).await;
    first.pause(TEN_MINUTES);
    until(|| second.paused_for() > Some(TEN_MINUTES / 2)).await;
    drop(held);
}

/// The first connection was given up with the trip that waited for it, and so was each one after it.
#[tokio::test]
async fn a_seed_that_does_not_answer_was_waited_for_without_end() {
    let node = Server::start_cluster();
    let deaf = Deaf::new();
    let client = ClusterClientBuilder::new([deaf.url(), node.url()]);
    let limiter = soon(builder(scarce()).connect_with(client)).await.unwrap();
    assert!(soon(limiter.acquire()).await.is_ok());
}
