//! RabbitMQ, really started and really spoken with.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use sallyport_testkit::RabbitMq;
use tokio::net::TcpStream;

const QUEUE: &str = "codes";

/// A channel on which publishing is confirmed, with the durable queue declared.
async fn open(url: &str) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .queue_declare(
            QUEUE.into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await?;
    Ok((connection, channel))
}

async fn publish(url: &str, body: &str) -> anyhow::Result<()> {
    let (connection, channel) = open(url).await?;
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let confirmation = channel
        .basic_publish(
            "".into(),
            QUEUE.into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            persistent,
        )
        .await?
        .await?;
    assert!(confirmation.is_ack());
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn get(url: &str) -> anyhow::Result<Option<String>> {
    let (connection, channel) = open(url).await?;
    let got = channel
        .basic_get(QUEUE.into(), BasicGetOptions { no_ack: true })
        .await?;
    connection.close(200, "done".into()).await?;
    Ok(got.map(|message| String::from_utf8_lossy(&message.delivery.data).into_owned()))
}

#[tokio::test]
async fn rabbitmq_keeps_what_it_confirmed_through_stop_and_kill() -> anyhow::Result<()> {
    let mut broker = RabbitMq::start().await?;
    let vhost = broker.create_vhost("one").await?;
    publish(&vhost, "first").await?;
    // Virtual hosts do not see each other.
    assert_eq!(get(&broker.url()).await?, None);
    assert!(broker.create_vhost("a\">>,").await.is_err());

    broker.stop().await?;
    let address = format!(
        "127.0.0.1:{}",
        url::Url::parse(&vhost)?.port().expect("a port")
    );
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "it listens after stop"
    );
    broker.start_again().await?;
    assert_eq!(get(&vhost).await?.as_deref(), Some("first"));
    publish(&vhost, "second").await?;
    broker.kill9().await?;
    broker.start_again().await?;
    assert_eq!(get(&vhost).await?.as_deref(), Some("second"));
    assert_eq!(get(&vhost).await?, None);
    Ok(())
}
