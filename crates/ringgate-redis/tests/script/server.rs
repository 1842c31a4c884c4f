//! A server on loopback, for one test.

use redis::{Client, Connection, cmd};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Self {
        // Another process may take the port before the server does.
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
        let started = (0..5).find_map(|_| Self::try_start(more));
        started.expect("neither `valkey-server` nor `redis-server` starts: install one of them")
    }

    fn try_start(more: &[&str]) -> Option<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0)).ok()?.local_addr().ok()?.port();
        let spawn = |program| {
            Command::new(program)
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
                .args(["--dir", env!("CARGO_TARGET_TMPDIR")])
                .args(["--cluster-config-file", &format!("nodes-{port}.conf")])
                .args(more)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
        };
        let mut process = spawn("valkey-server").or_else(|_| spawn("redis-server")).ok()?;
        let output = process.stdout.take()?;
        let server = Self { process, port };
        let mut lines = BufReader::new(output).lines();
        lines.by_ref().map_while(Result::ok).find(|line| line.contains("Ready to accept"))?;
        // So that it never waits for somebody to read what it writes.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(server)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.connect_as("")
    }

    /// `user:password@`, or nothing.
    pub(crate) fn connect_as(&self, user: &str) -> Connection {
        self.client(user).get_connection().unwrap()
    }

    pub(crate) fn client(&self, user: &str) -> Client {
        Client::open(format!("redis://{user}127.0.0.1:{}/", self.port)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let nodes = format!("{}/nodes-{}.conf", env!("CARGO_TARGET_TMPDIR"), self.port);
        let _ = std::fs::remove_file(nodes);
    }
}
