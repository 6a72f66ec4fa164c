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

/// The server as the strangers of one kind reach it: from their address, on the connection that they share.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) channel: Channel,
    /// Of 40 megapixels.
    pub(super) photo: Arc<[u8]>,
    server: SocketAddr,
    from: Ipv4Addr,
}

impl Target {
    pub(super) fn new(address: &str, from: Ipv4Addr, photo: Arc<[u8]>) -> Self {
        let server = address.trim_start_matches("http://").parse().expect("an address");
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
        // It connects with the first call, and anew when the server has closed the connection.
        let channel = endpoint
            .local_address(Some(from.into()))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_lazy();
        Self { channel, photo, server, from }
    }

    /// A connection for one stranger alone.
    pub(super) async fn socket(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        socket.connect(self.server).await
    }
}
