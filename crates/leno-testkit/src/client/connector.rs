//! TCP connections, straight or to a proxy that takes absolute-form requests.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

/// Connects to an address's authority, or to the proxy instead.
#[derive(Clone, Debug)]
pub struct Connector {
    proxy: Option<String>,
}

impl Connector {
    /// `proxy` is `host:port` or `http://host:port`.
    pub fn new(proxy: Option<String>) -> Self {
        let bare = |text: String| {
            let text = text.strip_prefix("http://").unwrap_or(&text);
            text.trim_end_matches('/').to_owned()
        };
        Self { proxy: proxy.map(bare).filter(|text| !text.is_empty()) }
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// The connection for `uri`, with Nagle's delay off.
    pub(super) async fn connect(&self, uri: &Uri) -> io::Result<TcpStream> {
        let stream = match &self.proxy {
            Some(proxy) => TcpStream::connect(proxy.as_str()).await?,
            None => {
                let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?;
                let host = host.trim_matches(['[', ']']);
                TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let stream = TokioIo::new(connector.connect(&uri).await?);
            Ok(Stream { stream, is_proxied: connector.is_proxied() })
        })
    }
}

/// A connection that tells hyper which request form it takes.
#[derive(Debug)]
pub struct Stream {
    stream: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
