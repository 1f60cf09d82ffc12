//! The mail server, spoken to by hand.

use quell_simulator::{Fault, FaultKind};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::support::Lab;

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(lab: &Lab) -> Self {
        let stream = TcpStream::connect(lab.simulator.smtp_address()).await.unwrap();
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.reply().await, "220");
        client
    }

    /// The code of a reply of one or more lines; empty when the server hung up.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.chars().take(3).collect();
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    async fn send(&mut self) -> String {
        assert_eq!(self.say("EHLO quell.example").await, "250");
        assert_eq!(self.say("MAIL FROM:<quell@partner.example> SIZE=100").await, "250");
        assert_eq!(self.say("RCPT TO:<soc@partner.example>").await, "250");
        assert_eq!(self.say("DATA").await, "354");
        self.say("Subject: Mining\r\nMessage-ID: <run-1@quell>\r\n\r\nhello\r\n..dot\r\n.").await
    }
}

#[tokio::test]
async fn a_message_is_kept_with_its_dots() {
    let lab = Lab::start().await;
    let mut client = Client::connect(&lab).await;
    assert_eq!(client.send().await, "250");
    assert_eq!(client.say("QUIT").await, "221");
    let entry = lab.simulator.effects("message.email").remove(0);
    assert_eq!(entry.effect.unwrap().target, "<run-1@quell>");
    let body = entry.body.unwrap();
    assert_eq!(body["subject"], "Mining");
    assert_eq!(body["to"][0], "soc@partner.example");
    assert!(body["message"].as_str().unwrap().ends_with("hello\r\n.dot\r\n"));
}

#[tokio::test]
async fn the_same_message_id_counts_once() {
    let lab = Lab::start().await;
    let mut client = Client::connect(&lab).await;
    client.send().await;
    client.send().await;
    assert_eq!((lab.simulator.counts().emails, lab.simulator.counts().repeats), (1, 1));
}

#[tokio::test]
async fn commands_out_of_order_are_refused() {
    let lab = Lab::start().await;
    let mut client = Client::connect(&lab).await;
    let table = [
        ("MAIL FROM:<a@b>", "503"),
        ("HELO x", "250"),
        ("RCPT TO:<a@b>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:a@b", "501"),
        ("MAIL FROM:<a@b> SIZE=99999999", "552"),
        ("NOOP", "250"),
        ("RSET", "250"),
        ("VRFY a", "502"),
    ];
    for (line, code) in table {
        assert_eq!(client.say(line).await, code, "{line}");
    }
}

#[tokio::test]
async fn faults_refuse_or_cut() {
    let lab = Lab::start().await;
    let on =
        |method: &str, kind: FaultKind| Fault { service: Some("smtp".to_owned()), method: Some(method.to_owned()), ..Fault::once(kind) };
    let busy = FaultKind::Status { status: 451, body: None, retry_after: None };
    lab.simulator.fault(on("NOOP", busy));
    let mut client = Client::connect(&lab).await;
    assert_eq!(client.say("NOOP").await, "451");
    assert_eq!(client.say("NOOP").await, "250");
    lab.simulator.fault(on("DATA", FaultKind::ApplyThenDrop));
    assert_eq!(client.send().await, "");
    let entry = lab.simulator.effects("message.email").remove(0);
    assert!(entry.applied && !entry.answered);
}
