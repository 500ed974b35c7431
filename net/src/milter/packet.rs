//! Packets: a length, a command, and its data.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::BoxStream;

/// Longest packet that is read: a chunk of a body.
const PACKET_BYTES_MAX: usize = 70_000;

/// Packets and bytes that a filter may say about one message.
const PACKETS_MAX: usize = 20_000;
const BYTES_MAX: usize = 64 << 20;

/// A filter's connection.
pub(super) struct Packets {
    stream: BoxStream,
    packets: usize,
    bytes: usize,
}

impl Packets {
    pub(super) fn new(stream: BoxStream) -> Self {
        Self { stream, packets: 0, bytes: 0 }
    }

    pub(super) async fn send(&mut self, command: u8, data: &[u8]) -> Result<(), String> {
        let length = u32::try_from(data.len() + 1).map_err(|why| why.to_string())?;
        let mut packet = Vec::with_capacity(data.len() + 5);
        packet.extend_from_slice(&length.to_be_bytes());
        packet.push(command);
        packet.extend_from_slice(data);
        self.stream.write_all(&packet).await.map_err(|why| why.to_string())?;
        self.stream.flush().await.map_err(|why| why.to_string())
    }

    /// What macros mean from the next `command` on.
    pub(super) async fn macros(
        &mut self,
        command: u8,
        macros: &[(&str, &str)],
    ) -> Result<(), String> {
        let mut data = vec![command];
        for (name, value) in macros {
            data.extend(bytes_of(name));
            data.extend(bytes_of(value));
        }
        self.send(b'D', &data).await
    }

    pub(super) async fn receive(&mut self) -> Result<(u8, Vec<u8>), String> {
        let length = self.stream.read_u32().await.map_err(|why| why.to_string())?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(length);
        let fits = (1..=PACKET_BYTES_MAX).contains(&length);
        if !fits || self.packets > PACKETS_MAX || self.bytes > BYTES_MAX {
            return Err("it says too much".to_owned());
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await.map_err(|why| why.to_string())?;
        let data = packet.split_off(1);
        Ok((packet.first().copied().unwrap_or_default(), data))
    }
}

/// A text and its end. What would end it sooner is left out.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let letters = text.chars().filter(|c| !c.is_control());
    let mut out: Vec<u8> = letters.collect::<String>().into_bytes();
    out.push(0);
    out
}
