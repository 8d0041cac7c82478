//! The proxy, with sockets that only echo behind it, so that every byte is known.

use answerback_testing::{Ending, Fault, Faults, Proxy, Way};
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Echoes everything, and says goodbye when its peer has ended: `!` and the number of bytes.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut bytes, mut count) = ([0; 1024], 0);
                while let Ok(read @ 1..) = socket.read(&mut bytes).await {
                    count += read;
                    socket.write_all(&bytes[..read]).await?;
                }
                socket.write_all(format!("!{count}").as_bytes()).await
            });
        }
    });
    address
}

async fn through(fault: Fault) -> (Proxy, TcpStream) {
    let proxy = Proxy::with(echo().await, Faults::each([fault])).await;
    let socket = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, socket)
}

/// Writes bytes and the end, and returns everything that comes back, and how that ended.
async fn told(socket: &mut TcpStream, bytes: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    let mut back = Vec::new();
    // The end of what comes back says what happened, also if nothing can be written any more.
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    let end = socket.read_to_end(&mut back).await.err().map(|error| error.kind());
    (back, end)
}

#[tokio::test]
async fn a_sound_connection_passes_everything_and_each_end() {
    let (proxy, mut socket) = through(Fault::None).await;
    let bytes: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
    let (mut from, mut to) = socket.split();
    let mut back = vec![0; bytes.len()];
    let (sent, _) = tokio::join!(to.write_all(&bytes), from.read_exact(&mut back));
    sent.unwrap();
    assert!(back == bytes);
    // The end passes one way, and the other still speaks.
    assert_eq!(told(&mut socket, b"").await, (b"!100000".to_vec(), None));
    assert_eq!((proxy.connections(), proxy.broken()), (1, 0));
}

#[tokio::test]
async fn a_cut_passes_so_many_bytes_and_not_one_more() {
    for (ending, end) in [(Ending::Fin, None), (Ending::Reset, Some(ErrorKind::ConnectionReset))] {
        let (proxy, mut socket) = through(Fault::Cut { way: Way::ToClient, after: 5, ending }).await;
        socket.write_all(b"12345678").await.unwrap();
        let mut first = [0; 5];
        // With a reset, what was not read yet is lost; that is what a reset does.
        if ending == Ending::Fin {
            socket.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"12345");
        }
        assert_eq!(told(&mut socket, b"").await.1, end, "{ending:?}");
        assert_eq!(proxy.broken(), 1);
    }
    // Towards the broker: the echo has seen three bytes, and its goodbye does not come through.
    let (_proxy, mut socket) = through(Fault::Cut { way: Way::ToBroker, after: 3, ending: Ending::Fin }).await;
    let (back, _) = told(&mut socket, b"12345").await;
    assert!(b"123".starts_with(&back), "{back:?}");
}

#[tokio::test]
async fn a_half_close_ends_one_way_and_the_other_goes_on_or_hangs() {
    let half = |hang| Fault::HalfClose { way: Way::ToBroker, after: 3, hang };
    let (proxy, mut socket) = through(half(false)).await;
    socket.write_all(b"12345").await.unwrap();
    let mut back = Vec::new();
    socket.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"123!3");
    assert_eq!(proxy.broken(), 1);

    let (proxy, mut socket) = through(half(true)).await;
    socket.write_all(b"12345").await.unwrap();
    until(|| proxy.broken() == 1).await;
    let mut back = Vec::new();
    let end = tokio::time::timeout(Duration::from_millis(50), socket.read_to_end(&mut back)).await;
    assert!(end.is_err(), "it hangs, with {back:?}");
    proxy.cut_all();
    assert!(socket.read_to_end(&mut back).await.is_err(), "a cut ends what hangs");
}

#[tokio::test]
async fn tiny_pieces_and_a_narrow_way_change_no_byte() {
    for fault in [
        Fault::Pieces { most: 3 },
        Fault::Throttle { bytes_per_second: 20_000 },
        Fault::Delay { by: Duration::from_millis(20) },
    ] {
        let (_proxy, mut socket) = through(fault).await;
        let begun = Instant::now();
        let bytes: Vec<u8> = (0..1_500_u32).map(|byte| byte as u8).collect();
        let (back, end) = told(&mut socket, &bytes).await;
        assert!(back[..1_500] == bytes && &back[1_500..] == b"!1500", "{fault:?}");
        assert_eq!(end, None);
        // Bounds from below only: a busy machine is slower.
        let least = match fault {
            Fault::Pieces { .. } => Duration::ZERO,
            _ => Duration::from_millis(35),
        };
        assert!(begun.elapsed() >= least, "{fault:?} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_stall_says_nothing() {
    let (proxy, mut socket) = through(Fault::Stall).await;
    socket.write_all(b"1").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), socket.read_u8()).await.is_err());
    drop(proxy);
    assert!(socket.read_u8().await.is_err());
}

#[tokio::test]
async fn by_hand_it_pauses_refuses_and_cuts() {
    let (proxy, mut socket) = through(Fault::None).await;
    socket.write_all(b"1").await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'1');
    proxy.pause();
    socket.write_all(b"23").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), socket.read_u8()).await.is_err());
    proxy.resume();
    assert_eq!(socket.read_u16().await.unwrap(), u16::from_be_bytes(*b"23"));

    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    socket.write_all(b"4").await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'4');
    proxy.refuse(false);
    proxy.cut_all();
    assert_eq!(socket.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(told(&mut again, b"5").await.0, b"5!1");
}

#[tokio::test]
async fn without_a_target_connections_are_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(nobody.to_string()).await;
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(socket.read_u8().await.is_err());
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "waited too long");
        tokio::task::yield_now().await;
    }
}
