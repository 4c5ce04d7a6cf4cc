//! Connections from outside, as many as there is room for and none that asks nothing whole for long:
//! whoever opens them and says little must not use up our file descriptors, which the tools and the
//! store need. An answer that is given piece by piece, such as a log that is followed, may be silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::room::{Room, Seat, Taken};
use crate::limits::{KEEPALIVE, UNCONFIRMED};

/// A listener with so much room. Those that come when it is full take the place of the one who has been
/// silent longest, or wait until one has left.
pub struct Guests<L: Listener> {
    listener: L,
    room: Room,
    patience: Duration,
    /// One who has come in and waits for a seat.
    waiting: Option<(L::Io, L::Addr)>,
}

impl<L: Listener> Guests<L> {
    /// Takes so many connections at a time; one to which nothing is answered for so long is closed, so
    /// that a byte now and then buys no place.
    pub fn new(listener: L, room: usize, patience: Duration) -> Guests<L> {
        Guests { listener, room: Room::new(room), patience, waiting: None }
    }
}

/// A connection that can be told how to behave.
pub trait Tuned {
    /// Answers leave at once, and a caller that is gone without a word is noticed.
    fn tune(&self) {}
}

impl Tuned for UnixStream {}

impl Tuned for TcpStream {
    fn tune(&self) {
        // Without any of this it works too, only worse.
        let _ = self.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(self, true);
        let _ = sockopt::set_tcp_keepidle(self, KEEPALIVE.0);
        let _ = sockopt::set_tcp_keepintvl(self, KEEPALIVE.1);
        let _ = sockopt::set_tcp_user_timeout(self, u32::try_from(UNCONFIRMED.as_millis()).unwrap_or(0));
    }
}

impl<L> Listener for Guests<L>
where
    L: Listener,
    L::Io: Tuned,
{
    type Io = Guest<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Guest<L::Io>, L::Addr) {
        // Who calls this may stop waiting for it, and nobody who has come in is sent away for that.
        if self.waiting.is_none() {
            let (stream, address) = self.listener.accept().await;
            stream.tune();
            self.waiting = Some((stream, address));
        }
        let taken = self.room.take().await;
        let (stream, address) = self.waiting.take().expect("nobody else takes it");
        let leave = Box::pin(taken.seat.leave.clone().cancelled_owned());
        let silence = Box::pin(sleep(self.patience));
        (Guest { stream, silence, stuck: None, leave, patience: self.patience, taken }, address)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub struct Guest<S> {
    stream: S,
    silence: Pin<Box<Sleep>>,
    /// Since when the other side takes nothing of what we say.
    stuck: Option<Pin<Box<Sleep>>>,
    leave: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Duration,
    taken: Taken,
}

impl<S> Guest<S> {
    /// Its seat.
    pub fn seat(&self) -> Arc<Seat> {
        self.taken.seat.clone()
    }

    fn is_to_leave(&mut self, context: &mut Context<'_>) -> bool {
        let is_told = self.leave.as_mut().poll(context).is_ready();
        if self.taken.seat.has_ended() {
            self.begin_anew(context);
        }
        // Who waits for an answer is silent; the answer begins the time anew. He may have asked while he was
        // told to leave: he goes when he has his answer.
        !self.taken.seat.is_asking() && (is_told || self.silence.as_mut().poll(context).is_ready())
    }

    fn begin_anew(&mut self, context: &mut Context<'_>) {
        let later = Instant::now() + self.patience;
        self.silence.as_mut().reset(later);
        // It may have run out under a long question, and nobody reads again after the answer: without this
        // nobody would hear of its end.
        let _ = self.silence.as_mut().poll(context);
        if self.taken.seat.leave.is_cancelled() {
            context.waker().wake_by_ref();
        }
        self.taken.seat.is_alive();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_to_leave(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.stuck = None;
                self.begin_anew(context);
                Poll::Ready(written)
            }
            Poll::Pending => {
                let patience = self.patience;
                let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
                stuck.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
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
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn serve(room: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(async move { axum::serve(Guests::new(listener, room, patience), router).await });
        address
    }

    /// Who vanishes without a word is noticed by the system: two minutes after the last sign of him.
    #[tokio::test]
    async fn a_caller_who_vanishes_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_there, here) = tokio::join!(TcpStream::connect(address), async {
            Guests::new(listener, 1, Duration::from_secs(1)).accept().await.0
        });
        let here = &here.stream;
        assert!(sockopt::socket_keepalive(here).unwrap() && here.nodelay().unwrap());
        assert_eq!(sockopt::tcp_keepidle(here).unwrap(), Duration::from_secs(60));
        assert_eq!(sockopt::tcp_keepintvl(here).unwrap(), Duration::from_secs(15));
        assert_eq!(sockopt::tcp_user_timeout(here).unwrap(), 120_000);
    }

    /// Who looks for a seat and who asks a question do not wait for each other.
    #[tokio::test]
    async fn who_is_told_to_leave_while_he_asks_leaves_after_his_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut guests = Guests::new(listener, 1, Duration::from_secs(3_600));
        let (there, mut here) = tokio::join!(TcpStream::connect(address), async { guests.accept().await.0 });
        let mut there = there.unwrap();
        let seat = here.seat();
        seat.leave.cancel();
        let question = seat.asks();
        there.write_all(b"body").await.unwrap();
        let mut body = [0; 4];
        here.read_exact(&mut body).await.expect("his question is open");
        // He waits for the next question, and hears of it by his answer.
        let (mut from, mut to) = tokio::io::split(here);
        let mut more = [0];
        let answers = async {
            drop(question);
            to.write_all(b"answer").await.unwrap();
        };
        let both = async { tokio::join!(from.read(&mut more), answers).0 };
        let next = tokio::time::timeout(Duration::from_secs(60), both).await.expect("he leaves");
        let next = next.map_err(|why| why.kind());
        assert_eq!(next, Err(io::ErrorKind::TimedOut));
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

    #[tokio::test]
    async fn ten_thousand_who_say_nothing_are_shown_out_and_others_are_served_meanwhile() {
        let (room, guests) = (1_000, 10_000);
        let patience = Duration::from_secs(2);
        let address = serve(room, patience).await;
        let mut silent = Vec::with_capacity(guests);
        for n in 0..guests {
            silent.push(TcpStream::connect(address).await.unwrap());
            if n % 1_000 == 999 {
                // The room is full, and the next one who asks something gets in at once.
                assert!(ask(address).await.ends_with("here"), "after {n}");
            }
        }
        let closed = async {
            for stream in &mut silent {
                assert_eq!(answer(stream).await, "");
            }
        };
        tokio::time::timeout(Duration::from_secs(120), closed).await.expect("all are shown out");
        assert!(ask(address).await.ends_with("here"));
    }
}
