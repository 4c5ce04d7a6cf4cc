//! Connections from outside, as many as there is room for and none that asks nothing whole for long:
//! whoever opens them and says little must not use up our file descriptors, which the tools and the
//! store need.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// A listener with so much room. Those that come when it is full wait until one has left.
pub struct Guests {
    listener: TcpListener,
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Guests {
    /// Takes so many connections at a time; one to which nothing is answered for so long is closed, so
    /// that a byte now and then buys no place.
    pub fn new(listener: TcpListener, room: usize, patience: Duration) -> Guests {
        Guests { listener, room: Arc::new(Semaphore::new(room)), patience }
    }
}

impl Listener for Guests {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let place = self.room.clone().acquire_owned().await.expect("nobody closes it");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let (patience, silence) = (self.patience, Box::pin(sleep(self.patience)));
        (Guest { stream, silence, patience, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub struct Guest {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.silence.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let later = Instant::now() + self.patience;
        self.silence.as_mut().reset(later);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn serve(room: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(async move { axum::serve(Guests::new(listener, room, patience), router).await });
        address
    }

    /// What comes back until the other side closes.
    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        answer(&mut stream).await
    }

    #[tokio::test]
    async fn who_says_nothing_or_stops_in_the_middle_is_shown_out() {
        let address = serve(10, Duration::from_millis(20)).await;
        for words in ["", "POST /cloudevents HTTP/1.1\r\nhost"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(words.as_bytes()).await.unwrap();
            assert_eq!(answer(&mut stream).await, "");
        }
    }

    #[tokio::test]
    async fn a_byte_now_and_then_buys_no_place() {
        let address = serve(10, Duration::from_millis(100)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = stream.split();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let trickle = async {
            while to.write_all(b"G").await.is_ok() {
                ticks.tick().await;
            }
        };
        let mut text = Vec::new();
        // It ends with a reset.
        let shown_out = async { drop(tokio::join!(trickle, from.read_to_end(&mut text))) };
        tokio::time::timeout(Duration::from_secs(60), shown_out).await.expect("it is shown out");
    }

    #[tokio::test]
    async fn when_the_room_is_full_of_the_silent_others_wait_and_are_served() {
        let address = serve(2, Duration::from_millis(200)).await;
        let _silent =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        assert!(ask(address).await.ends_with("here"));
    }
}
