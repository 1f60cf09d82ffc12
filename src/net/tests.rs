//! The client against real sockets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// What a server of this test does with a connection, once it has read the request.
#[derive(Clone, Copy)]
enum Then {
    Answer(&'static str),
    Close,
    Hang,
}

/// Listens on a free port; tells the port and a count of the connections.
async fn server(then: Then) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    crate::lifecycle::Tasks::default().spawn("server", async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            match then {
                Then::Answer(text) => socket.write_all(text.as_bytes()).await.unwrap(),
                Then::Close => {}
                Then::Hang => tokio::time::sleep(Duration::from_mins(1)).await,
            }
        }
    });
    (port, count)
}

fn net() -> Net {
    Net::new(&NetConfig { allow: vec!["127.0.0.1".to_owned()], ..NetConfig::default() }).unwrap()
}

fn url(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}/secret-path?token=canary")).unwrap()
}

async fn outcome(then: Then) -> Result<Reply, NetError> {
    let (port, _) = server(then).await;
    net().send(Request::post(url(port)).json(&serde_json::json!({})).timeout(Duration::from_millis(300))).await
}

#[tokio::test]
async fn an_answer_is_given_back_whatever_its_status() {
    let reply =
        outcome(Then::Answer("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 2\r\n\r\nok")).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (302, &b"ok"[..]));
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_mean_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let closed = net().send(Request::post(url(port))).await.unwrap_err();
    assert!(matches!(closed, NetError::NotSent(_)), "{closed:?}");

    let unknown = net().send(Request::get(Url::parse("https://no-such-host.invalid/").unwrap())).await.unwrap_err();
    assert!(matches!(unknown, NetError::NotSent(_)), "{unknown:?}");
}

#[tokio::test]
async fn a_handshake_that_fails_means_that_nothing_was_sent() {
    let (port, _) = server(Then::Close).await;
    let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    let error = net().send(Request::post(url)).await.unwrap_err();
    assert!(matches!(error, NetError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_host_that_does_not_answer_the_call_means_that_nothing_was_sent() {
    // The queue of connections that nobody accepts is full, so the next one waits for ever.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let config = NetConfig { allow: vec!["127.0.0.1".to_owned()], ..NetConfig::default() };
    let net = Net::with_patience(&config, Duration::from_millis(200)).unwrap();
    let error = net.send(Request::post(url(address.port()))).await.unwrap_err();
    assert!(matches!(error, NetError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_for_the_host_is_accepted() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let port = tls_server(made.cert.der().clone(), key);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    let allow = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let trusting = NetConfig { allow: allow.clone(), certificate_authority: Some(file.path().to_owned()) };
    for (config, host, is_accepted) in [
        (trusting.clone(), "localhost", true),
        (trusting, "127.0.0.1", false),
        (NetConfig { allow, ..NetConfig::default() }, "localhost", false),
    ] {
        let url = Url::parse(&format!("https://{host}:{port}/")).unwrap();
        match Net::new(&config).unwrap().send(Request::post(url)).await {
            Ok(reply) => assert!(is_accepted && reply.status == 204, "{host}"),
            Err(error) => assert!(!is_accepted && matches!(error, NetError::NotSent(_)), "{host}: {error:?}"),
        }
    }
}

/// Answers every request over TLS with 204; tells its port.
fn tls_server(certificate: CertificateDer<'static>, key: rustls::pki_types::PrivateKeyDer<'static>) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket.unwrap());
            let mut request = [0; 4096];
            if std::io::Read::read(&mut stream, &mut request).is_ok() {
                std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        }
    });
    port
}

#[tokio::test]
async fn a_lost_broken_or_endless_answer_is_an_unknown_outcome() {
    for then in [
        Then::Close,
        Then::Hang,
        Then::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        Then::Answer("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
        Then::Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Then::Answer("not http at all\r\n\r\n"),
    ] {
        let error = outcome(then).await.unwrap_err();
        assert!(matches!(error, NetError::Unknown(_)), "{error:?}");
    }
}

#[tokio::test]
async fn what_changes_something_is_sent_once_on_a_connection_of_its_own() {
    let (port, connections) = server(Then::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let net = net();
    for _ in 0..3 {
        net.send(Request::post(url(port))).await.unwrap();
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_without_a_connection() {
    let (port, connections) = server(Then::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let nobody = Net::new(&NetConfig::default()).unwrap();
    let url = Url::parse(&format!("https://localhost:{port}/")).unwrap();
    let error = nobody.send(Request::get(url)).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(_)), "{error:?}");
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 0);

    let named = Net::new(&NetConfig { allow: vec![format!("localhost:{port}")], ..NetConfig::default() }).unwrap();
    let url = Url::parse(&format!("http://localhost:{port}/")).unwrap();
    assert_eq!(named.send(Request::get(url)).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_header_that_would_split_the_request_is_refused() {
    for (name, value) in [("x-a", "b\r\nHost: evil"), ("x-a\r\nb", "c"), ("Host", "evil"), ("content-length", "0")] {
        let error = net().send(Request::get(url(1)).header(name, value)).await.unwrap_err();
        assert!(matches!(error, NetError::Refused(_)), "{error:?}");
    }
}

#[tokio::test]
async fn no_error_shows_a_path_a_query_or_a_token() {
    let (port, _) = server(Then::Close).await;
    let token = crate::secret::Secret::new("canary");
    for url in [url(port), url(1), Url::parse("https://canary:canary@127.0.0.2/canary").unwrap()] {
        let request = Request::post(url).bearer(&token).json(&serde_json::json!({ "canary": 1 }));
        assert!(!format!("{request:?}").contains("canary"));
        let error = net().send(request).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary") && !error.to_string().contains("secret-path"), "{error}");
    }
}
