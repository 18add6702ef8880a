//! Our own programs, and the foreign carrier.

use std::collections::BTreeMap;
use std::time::Duration;

use sallyport_testkit::{ForeignSmsc, Port, Process, Ready, SmscOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Endpoint, Server};
use tonic_health::ServingStatus;

/// A shell that prints its environment, then `up`, and says how SIGTERM found it.
const SCRIPT: &str = "env; trap 'echo told to stop; exit 5' TERM; printf u; echo p; \
                      while :; do sleep 0.01; done";

#[tokio::test]
async fn a_program_runs_with_its_own_environment_and_folder_only() -> anyhow::Result<()> {
    let builder = Process::builder("/bin/sh")?;
    std::fs::write(builder.folder().join("given"), "")?;
    let mut program = builder
        .args(["-c", &format!("ls; {SCRIPT}")])
        .env("GIVEN", "yes")
        .start(Ready::Line("up".into()))
        .await?;
    assert_eq!(program.wait_for_line("GIVEN").await?, "GIVEN=yes");
    assert_eq!(program.wait_for_line("given").await?, "given");
    assert!(!program.log()?.contains("CARGO"), "{}", program.log()?);
    assert_eq!(program.ended()?, None);
    assert_eq!(program.term().await?.code(), Some(5));

    // The log of the last start only, else the readiness line of the first would count.
    assert!(program.log()?.contains("told to stop"));
    program.start_again().await?;
    assert!(!program.log()?.contains("told to stop"));
    program.kill9().await?;
    assert!(!program.log()?.contains("told to stop"));
    Ok(())
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_an_error_with_its_output() -> anyhow::Result<()> {
    let error = Process::builder("/bin/sh")?
        .args(["-c", "echo bad setting; exit 2"])
        .start(Ready::Line("up".into()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("bad setting") && error.contains("exit status: 2"),
        "{error}"
    );
    let error = Process::builder("no-such-program").unwrap_err().to_string();
    assert!(
        error.ends_with("run: cargo build --bin no-such-program"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn a_program_is_ready_when_its_port_answers() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Process::builder("/bin/sleep")?
        .arg("1000")
        .start(Ready::Tcp(address))
        .await
        .map(drop)?;

    // Answers 503 first, then 200.
    let answers = tokio::spawn(async move {
        for status in ["503 Not Yet", "200 OK"] {
            loop {
                let (mut connection, _) = listener.accept().await?;
                if connection.read(&mut [0; 4096]).await? == 0 {
                    continue; // The connection of the TCP probe.
                }
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                connection.write_all(answer.as_bytes()).await?;
                break;
            }
        }
        anyhow::Ok(())
    });
    let url = format!("http://{address}/health");
    Process::builder("/bin/sleep")?
        .arg("1000")
        .start(Ready::Http(url))
        .await
        .map(drop)?;
    answers.await?
}

#[tokio::test]
async fn a_program_is_ready_when_its_health_is_serving() -> anyhow::Result<()> {
    let port = Port::take()?;
    let address = format!("127.0.0.1:{}", port.number());
    let listener = TcpListener::bind(&address).await?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    let asked = std::sync::Arc::new(tokio::sync::Notify::new());
    let notify = std::sync::Arc::clone(&asked);
    let health = tonic::service::interceptor::InterceptedService::new(health, move |request| {
        notify.notify_one();
        Ok(request)
    });
    let serve = Server::builder()
        .add_service(health)
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let serve = tokio::spawn(serve);

    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let start = Process::builder("/bin/sleep")?
        .arg("1000")
        .start(Ready::Grpc(Box::new(endpoint)));
    tokio::pin!(start);
    for _ in 0..2 {
        tokio::select! {
            _ = &mut start => panic!("ready while NOT_SERVING"),
            () = asked.notified() => {}
        }
    }
    reporter
        .set_service_status("", ServingStatus::Serving)
        .await;
    start.await?;
    serve.abort();
    Ok(())
}

/// `bind_transceiver` (SMPP 3.4, 4.1.5) by hand; returns the status of the answer.
async fn bind(smsc: &ForeignSmsc, password: &str) -> anyhow::Result<(TcpStream, u32)> {
    let body = [
        b"sallyport\0".as_slice(),
        password.as_bytes(),
        b"\0\0\x34\0\0\0",
    ]
    .concat();
    let (connection, status, _) = call(TcpStream::connect(smsc.address()).await?, 9, &body).await?;
    Ok((connection, status))
}

/// `submit_sm` (4.4.1) of a text in the default alphabet, with a receipt wanted.
async fn submit(connection: TcpStream, text: &[u8]) -> anyhow::Result<(TcpStream, u32, Vec<u8>)> {
    let mut body = b"\0\x05\0Shop\0\x01\x0133601020304\0\0\0\0\0\0\x01\0\0\0".to_vec();
    body.push(text.len() as u8);
    body.extend(text);
    call(connection, 4, &body).await
}

/// Sends a request and reads one PDU; returns its status and body.
async fn call(
    mut connection: TcpStream,
    command: u32,
    body: &[u8],
) -> anyhow::Result<(TcpStream, u32, Vec<u8>)> {
    for field in [16 + body.len() as u32, command, 0, 1] {
        connection.write_u32(field).await?;
    }
    connection.write_all(body).await?;
    let (id, status, body) = read(&mut connection).await?;
    assert_eq!(id, command | 0x8000_0000, "not the answer");
    Ok((connection, status, body))
}

async fn read(connection: &mut TcpStream) -> anyhow::Result<(u32, u32, Vec<u8>)> {
    let length = connection.read_u32().await?;
    let (id, status) = (connection.read_u32().await?, connection.read_u32().await?);
    connection.read_u32().await?;
    let mut body = vec![0; length as usize - 16];
    connection.read_exact(&mut body).await?;
    Ok((id, status, body))
}

#[tokio::test]
async fn the_foreign_smsc_delivers_throttles_and_sends_receipts() -> anyhow::Result<()> {
    let options = SmscOptions {
        throttle: 1,
        delay: Duration::from_millis(5),
        ..Default::default()
    };
    let mut smsc = ForeignSmsc::start(options).await?;
    let number = "+33601020304";
    assert_eq!(smsc.messages(number).await?, []);
    assert_eq!(bind(&smsc, "wrong").await?.1, 0x0E, "ESME_RINVPASWD");

    let (connection, status) = bind(&smsc, "secret").await?;
    assert_eq!(status, 0);
    let (connection, status, _) = submit(connection, b"early").await?;
    assert_eq!(status, 0x58, "ESME_RTHROTTLED");
    // GSM 03.38: 0x05 is é, 0x1B 0x65 is €.
    let (waiting, submitted) = tokio::join!(
        smsc.wait_for(number, 1),
        submit(connection, b"Code 123456 \x05\x1B\x65")
    );
    let (mut connection, status, id) = submitted?;
    assert_eq!(status, 0);
    let id = String::from_utf8(id)?.trim_end_matches('\0').to_owned();
    let messages = waiting?;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text, "Code 123456 é€");
    assert_eq!(
        (&*messages[0].from, &*messages[0].to, &messages[0].id),
        ("Shop", number, &id)
    );
    let counts = BTreeMap::from([(number.to_owned(), 1)]);
    assert_eq!(smsc.counts().await?, counts);

    let (command, _, body) = read(&mut connection).await?;
    assert_eq!(command, 5, "deliver_sm");
    let receipt = String::from_utf8_lossy(&body);
    assert!(receipt.contains(&format!("id:{id} ")) && receipt.contains("stat:DELIVRD"));

    smsc.stop().await?;
    assert!(TcpStream::connect(smsc.address()).await.is_err());
    smsc.start_again().await?;
    assert_eq!(bind(&smsc, "secret").await?.1, 0);
    Ok(())
}

#[tokio::test]
async fn the_foreign_smsc_puts_long_messages_together_and_can_withhold_receipts()
-> anyhow::Result<()> {
    let options = SmscOptions {
        receipts: false,
        ..Default::default()
    };
    let smsc = ForeignSmsc::start(options).await?;
    let (mut connection, _) = bind(&smsc, "secret").await?;
    let part = |coding: u8, index: u8, text: &str| {
        // esm_class 0x40: a user data header is there, here the one of concatenation.
        let mut body = b"\0\x05\0Shop\0\x01\x0133601020304\0\x40\0\0\0\0\x01\0".to_vec();
        let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        body.extend([coding, 0, 6 + text.len() as u8, 5, 0, 3, 42, 2, index]);
        body.extend(text);
        body
    };
    for (index, text) in [(2, " deux"), (1, "un 😀")] {
        assert_eq!(smsc.messages("+33601020304").await?, []);
        let (same, status, _) = call(connection, 4, &part(8, index, text)).await?;
        assert_eq!(status, 0);
        connection = same;
    }
    let messages = smsc.wait_for("+33601020304", 1).await?;
    assert_eq!(
        (messages[0].text.as_str(), messages[0].parts),
        ("un 😀 deux", 2)
    );
    // Had receipts been sent, one of them would be read here instead of the answer.
    let (_, status, _) = call(connection, 0x15, &[]).await?;
    assert_eq!(status, 0, "enquire_link");
    Ok(())
}
