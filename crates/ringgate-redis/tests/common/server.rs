//! A server on loopback, for one test, that can be killed and started again.

use redis::{Client, Connection, cmd};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

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
        let server = Self::start_with(&["--cluster-enabled", "yes"]);
        let mut connection = server.connect();
        let mut cluster = cmd("CLUSTER");
        let _: () = cluster.arg("ADDSLOTSRANGE").arg(0).arg(16383).query(&mut connection).unwrap();
        let is_up = |connection: &mut Connection| {
            let info: String = cmd("CLUSTER").arg("INFO").query(connection).unwrap();
            info.contains("cluster_state:ok")
        };
        // It takes two seconds.
        let comes_up = (0..3_000_000).any(|_| {
            std::thread::yield_now();
            is_up(&mut connection)
        });
        assert!(comes_up, "the cluster does not begin");
        server
    }

    fn start_with(more: &[&str]) -> Self {
        // Another process may take the port before the server does.
        let started = (0..5).find_map(|_| {
            let port = TcpListener::bind(("127.0.0.1", 0)).ok()?.local_addr().ok()?.port();
            Some(Self { process: Some(start(port, more)?), port })
        });
        started.expect("neither `valkey-server` nor `redis-server` starts: install one of them")
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
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

fn start(port: u16, more: &[&str]) -> Option<Child> {
    let spawn = |program| {
        Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--dir", env!("CARGO_TARGET_TMPDIR")])
            .args(["--cluster-config-file", &nodes(port)])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    };
    let mut process = spawn("valkey-server").or_else(|_| spawn("redis-server")).ok()?;
    let mut lines = BufReader::new(process.stdout.take()?).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("Ready to accept"));
    if ready.is_none() {
        let _ = process.wait();
        return None;
    }
    // So that it never waits for somebody to read what it writes.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Some(process)
}

/// What a node of a cluster writes.
fn nodes(port: u16) -> String {
    format!("nodes-{port}.conf")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ =
            std::fs::remove_file(format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), nodes(self.port)));
    }
}
