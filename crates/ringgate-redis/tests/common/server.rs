//! A server on loopback, for one test, that can be killed and started again.

use redis::{Client, Cmd, Connection, FromRedisValue, cmd};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// Those that are there go on without the others.
const NODES_ALONE: [&str; 2] = ["--cluster-require-full-coverage", "no"];

pub(crate) struct Server {
    process: Option<Child>,
    port: u16,
}

impl Server {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One node that is a whole cluster.
    pub(crate) fn start_cluster() -> Self {
        Self::start_nodes(1).remove(0)
    }

    /// A cluster of so many nodes without replicas. Each has about as many slots.
    pub(crate) fn start_nodes(many: u16) -> Vec<Self> {
        let start = |n| {
            let options = [&["--cluster-enabled", "yes"][..], &NODES_ALONE].concat();
            let (node, bus) = Self::start_with_port("--cluster-port", &options);
            let slot = |n| u32::from(n) * 16384 / u32::from(many);
            let _: () = node.ask(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(n + 1));
            let slots = (slot(n), slot(n + 1) - 1);
            let _: () = node.ask(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(slots.0).arg(slots.1));
            (node, bus)
        };
        let (nodes, buses): (Vec<_>, Vec<_>) = (0..many).map(start).unzip();
        for (node, bus) in nodes.iter().zip(&buses) {
            let meet = ["MEET", "127.0.0.1", &node.port.to_string(), &bus.to_string()];
            let _: () = nodes[0].ask(cmd("CLUSTER").arg(&meet));
        }
        let known = format!("cluster_known_nodes:{many}");
        // It takes two seconds.
        wait_until("the cluster does not begin", || {
            nodes.iter().all(|node| {
                let info: String = node.ask(cmd("CLUSTER").arg("INFO"));
                info.contains("cluster_state:ok") && info.contains(&known)
            })
        });
        nodes
    }

    /// A sentinel of the server, which it calls `main`. It decides by itself that the server is down.
    pub(crate) fn start_sentinel(server: &Self) -> Self {
        started("no sentinel starts", || {
            let port = free_port();
            let file = sentinel_file(port);
            let lines = [
                format!("port {port}"),
                "bind 127.0.0.1".into(),
                format!("dir {TMP}"),
                format!("sentinel monitor main 127.0.0.1 {} 1", server.port),
                "sentinel down-after-milliseconds main 500".into(),
                "sentinel failover-timeout main 5000".into(),
            ];
            std::fs::write(&file, lines.join("\n")).ok()?;
            let process = launch(&[&file, "--sentinel"], "Sentinel ID is")?;
            Some(Self { process: Some(process), port })
        })
    }

    /// With more options.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        started(&none_starts(more), || {
            let port = free_port();
            Some(Self { process: Some(start(port, more)?), port })
        })
    }

    /// With more options, and with another port by this one.
    pub(crate) fn start_with_port(option: &str, more: &[&str]) -> (Self, u16) {
        started(&none_starts(more), || {
            let (port, other) = (free_port(), free_port());
            let other_word = other.to_string();
            let options = [&[option, &other_word], more].concat();
            Some((Self { process: Some(start(port, &options)?), port }, other))
        })
    }

    /// An answer that it must give.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query(&mut self.connect()).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// It stays, and answers nobody any more.
    pub(crate) fn freeze(&self) {
        let stop = format!("kill -STOP {}", self.process.as_ref().unwrap().id());
        assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
    }

    /// Another one at the same port, without the first one's data.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        let started = (0..20).find_map(|_| start(self.port, &[]));
        self.process = Some(started.expect("the port is taken"));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        self.url_as("")
    }

    /// `user:password@`, or nothing.
    pub(crate) fn url_as(&self, user: &str) -> String {
        format!("redis://{user}127.0.0.1:{}/", self.port)
    }

    pub(crate) fn client(&self, user: &str) -> Client {
        Client::open(self.url_as(user)).unwrap()
    }

    pub(crate) fn connect(&self) -> Connection {
        self.connect_as("")
    }

    /// `user:password@`, or nothing.
    pub(crate) fn connect_as(&self, user: &str) -> Connection {
        self.client(user).get_connection().unwrap()
    }
}

/// Looks until it is so, for half a minute.
pub(crate) fn wait_until(else_says: &str, is_so: impl Fn() -> bool) {
    let comes = (0..6000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        is_so()
    });
    assert!(comes, "{else_says}");
}

/// One that the system gives to no connection by itself, as it would while a server is away. None is given twice.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let other_each_time = u16::try_from(std::process::id() % 1000).unwrap() * 20;
    let next = || 10_000 + (other_each_time + GIVEN.fetch_add(1, Relaxed) % 20_000) % 20_000;
    let mut ports = std::iter::repeat_with(next).take(20_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("no port is free")
}

/// Tries it with other ports: another process may take one before the server does.
fn started<T>(else_says: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    (0..5).find_map(|_| attempt()).expect(else_says)
}

fn none_starts(more: &[&str]) -> String {
    format!(
        "neither `valkey-server` nor `redis-server` starts with {more:?}: install one that does"
    )
}

fn start(port: u16, more: &[&str]) -> Option<Child> {
    let (port_word, nodes, data) = (port.to_string(), nodes_file(port), data_file(port));
    let mut options = vec!["--bind", "127.0.0.1", "--port", &port_word];
    options.extend(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    options.extend(["--dir", TMP, "--cluster-config-file", &nodes, "--dbfilename", &data]);
    options.extend(more);
    launch(&options, "Ready to accept")
}

/// It is there when it has written these words.
fn launch(options: &[&str], ready: &str) -> Option<Child> {
    let spawn = |program| {
        Command::new(program).args(options).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    };
    let mut process = spawn("valkey-server").or_else(|_| spawn("redis-server")).ok()?;
    let mut lines = BufReader::new(process.stdout.take()?).lines();
    let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains(ready));
    if !is_ready {
        let _ = process.wait();
        return None;
    }
    // So that it never waits for somebody to read what it writes.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Some(process)
}

/// What a node of a cluster writes, in the folder of all.
fn nodes_file(port: u16) -> String {
    format!("nodes-{port}.conf")
}

/// What a replica writes before it reads it, in the same folder.
fn data_file(port: u16) -> String {
    format!("dump-{port}.rdb")
}

fn sentinel_file(port: u16) -> String {
    format!("{TMP}/sentinel-{port}.conf")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let (nodes, data) = (nodes_file(self.port), data_file(self.port));
        for file in [format!("{TMP}/{nodes}"), format!("{TMP}/{data}"), sentinel_file(self.port)] {
            let _ = std::fs::remove_file(file);
        }
    }
}
