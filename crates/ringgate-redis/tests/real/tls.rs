//! Encrypted connections, and users with a password. Certificates are made anew each time, by `openssl`.

use crate::server::{Server, free_port};
use crate::sharing::{
    TEN_MINUTES, allow_agent, connect_two, pushes_arrive, scarce, share_exactly, tokens,
};
use crate::{builder, soon};
use redis::{Client, TlsCertificates, cmd};
use ringgate_redis::script::key;
use ringgate_redis::{ConnectError, SharedLimiter, SharedLimiterBuilder};
use std::path::PathBuf;
use std::process::Command;

/// An authority, and what it has signed for this machine.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Self {
        Self::of("IP:127.0.0.1,DNS:localhost")
    }

    fn of(names: &str) -> Self {
        let folder = format!("{}/tls-{}", env!("CARGO_TARGET_TMPDIR"), free_port());
        std::fs::create_dir_all(&folder).unwrap();
        let made = Self(folder.into());
        std::fs::write(made.path("names"), format!("subjectAltName={names}\n")).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=tests -days 2"
        ));
        made.openssl(&format!("req {key} -keyout key.pem -out asks -subj /CN=localhost"));
        let by = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile names";
        made.openssl(&format!("x509 -req -in asks -out cert.pem -days 2 {by}"));
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, words: &str) {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output();
        let made = made.expect("`openssl` does not run: install it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Who trusts only this authority.
    fn client(&self, url: &str) -> Client {
        let root_cert = Some(std::fs::read(self.path("ca.pem")).unwrap());
        Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert }).unwrap()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that has an encrypted port, too, and a user.
struct Encrypted {
    server: Server,
    port: u16,
    certificates: Certificates,
}

impl Encrypted {
    fn start() -> Self {
        Self::start_with(Certificates::new())
    }

    fn start_with(certificates: Certificates) -> Self {
        let path = |name| certificates.path(name).into_os_string().into_string().unwrap();
        let options = [
            "--tls-cert-file",
            &path("cert.pem"),
            "--tls-key-file",
            &path("key.pem"),
            "--tls-ca-cert-file",
            &path("ca.pem"),
            "--tls-auth-clients",
            "no",
        ];
        let (server, port) = Server::start_with_port("--tls-port", &options);
        allow_agent(&server, "+publish +subscribe");
        Self { server, port, certificates }
    }

    fn url(&self) -> String {
        format!("rediss://agent:secret@localhost:{}/", self.port)
    }

    async fn connect(&self, builder: SharedLimiterBuilder) -> SharedLimiter {
        let client = self.certificates.client(&self.url());
        soon(builder.connect_with(client)).await.unwrap()
    }
}

#[tokio::test]
async fn a_limit_is_shared_exactly_over_encrypted_connections() {
    let store = Encrypted::start();
    let first = store.connect(builder(scarce())).await;
    let second = store.connect(builder(scarce())).await;
    share_exactly(&first, &second).await;
    let clients: String = store.server.ask(cmd("CLIENT").arg("LIST"));
    assert_eq!(clients.matches("user=agent").count(), 2, "{clients}");
}

#[tokio::test]
async fn over_encrypted_connections_those_who_wait_are_told() {
    let store = Encrypted::start();
    let connect = |limits| store.connect(builder(limits).time_to_live(TEN_MINUTES));
    let [first, second] = connect_two(connect, tokens()).await;
    let subscribers = || {
        let count = cmd("PUBSUB").arg("NUMSUB").arg(key("tests", "real")).to_owned();
        store.server.ask::<(String, u64)>(&count).1
    };
    pushes_arrive(&first, &second, subscribers).await;
}

/// It waited, as for a store that is not there.
#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_an_error() {
    let store = Encrypted::start();
    let others = Certificates::new();
    for client in [others.client(&store.url()), Client::open(store.url()).unwrap()] {
        let error = soon(builder(scarce()).connect_with(client)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Store(_)), "{error:?}");
        assert!(error.to_string().contains("ertificate"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_an_error() {
    let store = Encrypted::start_with(Certificates::of("DNS:elsewhere.example"));
    let client = store.certificates.client(&store.url());
    let error = soon(builder(scarce()).connect_with(client)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("ertificate"), "{error}");
}

#[tokio::test]
async fn over_an_encrypted_connection_a_wrong_password_is_an_error() {
    let store = Encrypted::start();
    let client = store.certificates.client(&store.url().replace("secret", "wrong"));
    let error = soon(builder(scarce()).connect_with(client)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Store(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("wrong"));
}
