//! The writer: everything that waits goes out in one write and one flush.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rusmpp::tokio_codec::CommandCodec;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::Encoder;

use crate::outcome::EndReason;

use super::flight::{Kind, Outgoing, Shared};

/// A batch that has grown to this many octets is written before more is added.
const BATCH: usize = 64 * 1024;
/// How long closing the connection may take.
const CLOSE: Duration = Duration::from_secs(1);

pub(super) async fn run<W>(
    mut write: W,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
) where
    W: AsyncWrite + Unpin,
{
    if let Err(error) = write_all(&mut write, &mut queue, &shared).await {
        shared.end(EndReason::Io(error.kind()));
    }
    // Sends TLS's close_notify and TCP's FIN; a peer that is gone need not get them.
    let _ = timeout(CLOSE, write.shutdown()).await;
}

async fn write_all<W>(
    write: &mut W,
    queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    shared: &Shared,
) -> std::io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut over = std::pin::pin!(shared.over.cancelled());
    let mut codec = CommandCodec::new();
    let mut batch = BytesMut::new();
    loop {
        let first = tokio::select! {
            biased;
            () = &mut over => return Ok(()),
            first = queue.recv() => first,
        };
        let mut next = first;
        let mut farewell = None;
        batch.clear();
        while let Some(outgoing) = next {
            shared.dequeued();
            // From here on the message counts as written: a write that fails may have sent it.
            if outgoing.kind != Kind::Submit
                || shared.about_to_write(outgoing.command.sequence_number)
            {
                codec
                    .encode(&outgoing.command, &mut batch)
                    .map_err(std::io::Error::other)?;
            }
            if let Kind::Farewell(reason) = outgoing.kind {
                farewell = Some(reason);
                break;
            }
            next = if batch.len() < BATCH {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        tokio::select! {
            biased;
            () = &mut over => return Ok(()),
            written = async {
                write.write_all(&batch).await?;
                write.flush().await
            } => written?,
        }
        if let Some(reason) = farewell {
            shared.end(reason);
            return Ok(());
        }
    }
}
