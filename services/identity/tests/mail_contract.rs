//! The contract of mail routes: the same function over the SMTP route, against a server on a real
//! socket, and over the inbox.

#![allow(clippy::unwrap_used, reason = "a test that meets an error ends")]

use std::sync::{Arc, Mutex};

use base64::Engine;
use identity::adapters::mail_inbox::MailInbox;
use identity::adapters::mail_smtp::SmtpRoute;
use identity::config::{Config, MailSettings, SmtpEncryption};
use identity::ports::{Mail, MailError, MailRoute};
use sallyport_chassis::Secret;
use sallyport_testkit::ManualClock;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn mail(to: &str, n: usize) -> Mail {
    Mail {
        to: to.to_owned(),
        subject: format!("Définissez un nouveau mot de passe, nº {n}"),
        text: format!(
            "Bonjour,\n\n.une ligne avec un point\nhttps://portal.example/link/spl_{}\n",
            "x".repeat(43)
        ),
    }
}

/// What a route promises, whatever is behind it.
async fn keeps_the_contract<Read, Reading>(route: Arc<dyn MailRoute>, read: Read)
where
    Read: Fn() -> Reading,
    Reading: Future<Output = Vec<Mail>>,
{
    route.send(&mail("ada@example.com", 0)).await.unwrap();
    // When it returns, the next in the chain has it.
    let arrived = read().await;
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].to, "ada@example.com");
    assert_eq!(arrived[0].subject, mail("", 0).subject);
    assert_eq!(arrived[0].text.replace("\r\n", "\n"), mail("", 0).text);
    let mut sends = JoinSet::new();
    for n in 1..=20 {
        let route = route.clone();
        sends.spawn(async move { route.send(&mail("bob@example.com", n)).await });
    }
    while let Some(sent) = sends.join_next().await {
        sent.unwrap().unwrap();
    }
    let mut subjects: Vec<String> = read().await.into_iter().map(|mail| mail.subject).collect();
    let mut expected: Vec<String> = (0..=20).map(|n| mail("", n).subject).collect();
    subjects.sort();
    expected.sort();
    assert_eq!(subjects, expected, "each arrives once");
}

#[tokio::test]
async fn the_inbox_keeps_the_contract() {
    let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
    let inbox = Arc::new(MailInbox::new(Arc::new(clock)));
    let read = inbox.clone();
    let all = move || {
        let read = read.clone();
        async move { read.list("", 0).into_iter().map(|kept| kept.mail).collect() }
    };
    keeps_the_contract(inbox, all).await;
}

#[tokio::test]
async fn smtp_keeps_the_contract() {
    let server = Server::start(Behaviour::default()).await;
    let route = Arc::new(SmtpRoute::new(&server.settings()).unwrap());
    let arrived = server.arrived.clone();
    keeps_the_contract(route, move || {
        let arrived = arrived.clone();
        async move {
            arrived
                .lock()
                .unwrap()
                .iter()
                .map(|raw| parse(raw))
                .collect()
        }
    })
    .await;
}

#[tokio::test]
async fn the_inbox_holds_the_newest_thousand_and_wakes_who_waits() {
    let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
    let inbox = Arc::new(MailInbox::new(Arc::new(clock)));
    let waiting = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.wait("ADA@example.com", 1).await }
    });
    for n in 0..1_001 {
        inbox.send(&mail("bob@example.com", n)).await.unwrap();
    }
    assert_eq!(inbox.list("", 0).len(), 1_000);
    assert_eq!(inbox.list("", 0)[0].mail.subject, mail("", 1).subject);
    assert!(!waiting.is_finished());
    inbox.send(&mail("ada@example.com", 1)).await.unwrap();
    inbox.send(&mail("ada@example.com", 2)).await.unwrap();
    let woken = waiting.await.unwrap();
    assert_eq!(woken.len(), 1, "the first of hers was seen before");
    assert_eq!(woken[0].mail.subject, mail("", 2).subject);
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_told_from_what_may_pass_later() {
    for (reply, refused) in [
        ("550 no such mailbox", true),
        ("552 mailbox full for ever", true),
        ("451 try later", false),
        ("421 going down", false),
        ("530 authentication required", false),
    ] {
        let server = Server::start(Behaviour {
            recipient: reply,
            ..Behaviour::default()
        })
        .await;
        let route = SmtpRoute::new(&server.settings()).unwrap();
        let error = route.send(&mail("ada@example.com", 0)).await.unwrap_err();
        assert_eq!(matches!(error, MailError::Refused(_)), refused, "{reply}");
        assert!(
            !format!("{error}").contains("mailbox"),
            "the server's text stays inside"
        );
    }
}

#[tokio::test]
async fn an_address_that_no_mail_can_have_is_refused_for_good() {
    let server = Server::start(Behaviour::default()).await;
    let route = SmtpRoute::new(&server.settings()).unwrap();
    let error = route.send(&mail("ada@@example", 0)).await.unwrap_err();
    assert!(matches!(error, MailError::Refused(_)));
}

#[tokio::test]
async fn a_server_that_is_away_may_come_back() {
    let server = Server::start(Behaviour::default()).await;
    let mut settings = server.settings();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.smtp.port = free.local_addr().unwrap().port();
    drop(free);
    let error = SmtpRoute::new(&settings)
        .unwrap()
        .send(&mail("a@example.com", 0))
        .await;
    assert!(matches!(error, Err(MailError::Unavailable(_))));
}

#[tokio::test]
async fn without_starttls_on_offer_nothing_leaves_in_the_clear() {
    let server = Server::start(Behaviour::default()).await;
    let mut settings = server.settings();
    settings.smtp.encryption = SmtpEncryption::Starttls;
    settings.smtp.username = "sallyport".to_owned();
    settings.smtp.password = Secret::new("hunter2");
    let error = SmtpRoute::new(&settings)
        .unwrap()
        .send(&mail("a@example.com", 0))
        .await;
    assert!(matches!(error, Err(MailError::Unavailable(_))));
    assert!(server.arrived.lock().unwrap().is_empty());
    assert!(server.logins.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_user_logs_in_and_a_refused_log_in_is_not_the_mails_fault() {
    for (reply, good) in [("235 welcome", true), ("535 wrong", false)] {
        let server = Server::start(Behaviour {
            login: reply,
            ..Behaviour::default()
        })
        .await;
        let mut settings = server.settings();
        settings.smtp.username = "sallyport".to_owned();
        settings.smtp.password = Secret::new("hunter2");
        let sent = SmtpRoute::new(&settings)
            .unwrap()
            .send(&mail("a@example.com", 0))
            .await;
        match sent {
            Ok(()) => assert!(good),
            Err(error) => assert!(!good && matches!(error, MailError::Unavailable(_))),
        }
        assert_eq!(server.logins.lock().unwrap()[0], "\0sallyport\0hunter2");
        assert_eq!(server.arrived.lock().unwrap().len(), usize::from(good));
    }
}

/// What the server answers.
#[derive(Clone, Copy)]
struct Behaviour {
    recipient: &'static str,
    login: &'static str,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            recipient: "250 fine",
            login: "235 welcome",
        }
    }
}

/// A submission server that keeps what it gets.
struct Server {
    port: u16,
    arrived: Arc<Mutex<Vec<String>>>,
    logins: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            arrived: Arc::default(),
            logins: Arc::default(),
        };
        let (arrived, logins) = (server.arrived.clone(), server.logins.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (arrived, logins) = (arrived.clone(), logins.clone());
                // A client that hangs up ends its own conversation only.
                tokio::spawn(async move { converse(stream, behaviour, &arrived, &logins).await });
            }
        });
        server
    }

    fn settings(&self) -> MailSettings {
        let mut settings = Config::load(None).unwrap().identity.mail;
        settings.smtp.host = "127.0.0.1".to_owned();
        settings.smtp.port = self.port;
        settings.smtp.encryption = SmtpEncryption::None;
        settings
    }
}

/// RFC 5321 as far as a submission needs it.
async fn converse(
    stream: TcpStream,
    behaviour: Behaviour,
    arrived: &Mutex<Vec<String>>,
    logins: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 sink.example ESMTP\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink.example\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => {
                let encoded = line.rsplit(' ').next().unwrap_or_default();
                let plain = base64::engine::general_purpose::STANDARD
                    .decode(encoded)
                    .unwrap();
                logins
                    .lock()
                    .unwrap()
                    .push(String::from_utf8(plain).unwrap());
                behaviour.login.to_owned()
            }
            "RCPT" => behaviour.recipient.to_owned(),
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut raw = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    raw.push_str(line.strip_prefix('.').unwrap_or(&line));
                    raw.push_str("\r\n");
                }
                arrived.lock().unwrap().push(raw);
                "250 kept".to_owned()
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 fine".to_owned(),
        };
        write.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// Reads a mail as a mail program does: unfolded headers, encoded words, transfer encoding.
fn parse(raw: &str) -> Mail {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |name: &str| {
        head.split("\r\n")
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
            .unwrap_or_default()
            .to_owned()
    };
    let body = match header("Content-Transfer-Encoding").as_str() {
        "base64" => decode_base64(&body.replace("\r\n", "")),
        "quoted-printable" => decode_quoted(&body.replace("=\r\n", "")),
        _ => body.to_owned(),
    };
    Mail {
        to: header("To"),
        subject: decode_words(&header("Subject")),
        // The line end before the final dot ends the last line; it is not the mail's.
        text: body.strip_suffix("\r\n").unwrap_or(&body).to_owned(),
    }
}

/// RFC 2047.
fn decode_words(text: &str) -> String {
    text.split(' ')
        .fold((String::new(), false), |(mut out, after_encoded), word| {
            let encoded = word
                .strip_prefix("=?utf-8?b?")
                .and_then(|word| word.strip_suffix("?="));
            // Space between two encoded words does not count.
            let joined = out.is_empty() || after_encoded && encoded.is_some();
            if !joined {
                out.push(' ');
            }
            out.push_str(&encoded.map_or_else(|| word.to_owned(), decode_base64));
            (out, encoded.is_some())
        })
        .0
}

fn decode_base64(text: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// RFC 2045, 6.7, soft breaks already taken out.
fn decode_quoted(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap(), rest.next().unwrap()];
        let digits = std::str::from_utf8(&digits).unwrap();
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn settings_name_the_sender_and_hide_the_password() {
    let mut settings = Server::start(Behaviour::default()).await.settings();
    settings.smtp.password = Secret::new("hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
    settings.from = "no address".to_owned();
    assert!(SmtpRoute::new(&settings).is_err());
}
