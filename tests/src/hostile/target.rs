//! The server as the strangers of one kind reach it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::{Channel, Endpoint};

/// Bytes that the server may send of one answer before it is read, the least that HTTP/2 has as a default; and of all
/// answers together, so that one reader does not hold up the others.
const STREAM_WINDOW: u32 = (1 << 16) - 1;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Visitors one after the other that come on one connection: as many as a kind has different ones.
const TURN: u64 = 24;

/// The server as the strangers of one kind reach it: from their address, on one of the connections that they share.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) channel: Channel,
    /// The connections, of which `channel` is one.
    channels: [Channel; 2],
    /// Of 40 megapixels.
    pub(super) photo: Arc<[u8]>,
    server: SocketAddr,
    from: Ipv4Addr,
}

impl Target {
    pub(super) fn new(address: &str, from: Ipv4Addr, photo: Arc<[u8]>) -> Self {
        let server = address.trim_start_matches("http://").parse().expect("an address");
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
        let endpoint = endpoint
            .local_address(Some(from.into()))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        // They connect with the first call, and anew when the server has closed the connection.
        let channels = [endpoint.connect_lazy(), endpoint.connect_lazy()];
        Self { channel: channels[0].clone(), channels, photo, server, from }
    }

    /// The same for a visitor with a number, who takes the connections in turn.
    pub(super) fn of(&self, number: u64) -> Self {
        // Kinds tell their visitors apart by the number's remainders, which both connections are to see.
        let turn = number / TURN % self.channels.len() as u64;
        Self { channel: self.channels[turn as usize].clone(), ..self.clone() }
    }

    /// A connection for one stranger alone.
    pub(super) async fn socket(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        socket.connect(self.server).await
    }
}
