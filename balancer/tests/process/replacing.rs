//! One balancer is replaced by another while clients come all the time.

use crate::backing::{Backing, round_trip, who};
use crate::support::{Balancer, HASTY, program, until};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Has clients come and go until `work` is done. Returns how many came, and what went wrong.
fn while_clients_come(address: SocketAddr, work: impl FnOnce(&AtomicUsize)) -> (usize, Vec<std::io::Error>) {
    let (over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = || {
            let mut wrong = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let one = TcpStream::connect(address).and_then(|mut stream| {
                    who(&mut stream);
                    round_trip(&mut stream)
                });
                wrong.extend(one.err());
                came.fetch_add(1, Ordering::SeqCst);
            }
            wrong
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        work(&came);
        over.store(true, Ordering::SeqCst);
        let wrong = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (came.load(Ordering::SeqCst), wrong)
    })
}

fn replace(address: SocketAddr, start: impl Fn() -> Balancer) -> (usize, Vec<std::io::Error>) {
    let mut current = start();
    while_clients_come(address, |came| {
        for _ in 0..5 {
            let more = |count| {
                let before = came.load(Ordering::SeqCst);
                until("more clients", || came.load(Ordering::SeqCst) >= before + count);
            };
            more(50);
            let next = start();
            more(50);
            current.signal(Signal::TERM);
            assert_eq!(current.exit_code(), Some(0));
            more(50);
            current = next;
        }
    })
}

/// The listening socket belongs to whoever starts balancers, as with systemd: nobody is ever refused, because it never closes.
#[test]
fn with_a_socket_that_is_handed_over_nobody_is_refused() {
    let backing = Backing::echo(b'a');
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, wrong) = replace(address, || {
        let socket: OwnedFd = listener.try_clone().unwrap().into();
        let mut command = Command::new("sh");
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        command.args(["-c", script]).arg(program().get_program()).stdin(Stdio::from(socket));
        command.args(["--backend", &backing.address.to_string()]).args(HASTY.iter().flatten());
        Balancer::spawn(command)
    });
    assert!(came > 500 && wrong.is_empty(), "{} of {came} failed: {:?}", wrong.len(), wrong.first());
}

/// Both have a socket of their own at the same address. Nobody is refused; what was at the old one's door in the moment in which it closes may be
/// reset, which `docs/BALANCER.md` says.
#[test]
fn with_a_shared_port_nobody_is_refused() {
    let backing = Backing::echo(b'a');
    // Keeps the port, and takes no connections: it does not listen.
    let address = crate::backing::nowhere();
    let (came, wrong) = replace(address, || {
        let mut command = program();
        command
            .args(["--listen", &address.to_string(), "--reuse-port", "--backend", &backing.address.to_string()])
            .args(HASTY.iter().flatten());
        Balancer::spawn(command)
    });
    let refused = wrong.iter().filter(|error| error.kind() == std::io::ErrorKind::ConnectionRefused).count();
    assert!(came > 500 && refused == 0, "{refused} of {came} refused");
    assert!(wrong.len() <= 5, "{} of {came} failed: {:?}", wrong.len(), wrong.first());
}
