//! The admin port.

use crate::backing::{Backing, round_trip, who};
use crate::support::Balancer;

#[test]
fn pages_say_how_things_are() {
    let backing = Backing::echo(b'a');
    let balancer = Balancer::before(&[backing.address], &[]);
    balancer.until_up(&[backing.address]);
    let mut client = balancer.connect();
    who(&mut client);
    round_trip(&mut client).unwrap();
    assert_eq!(balancer.get("/livez"), (200, "live\n".to_owned()));
    assert_eq!(balancer.get("/readyz"), (200, "ready: 1 of 1 backends are up\n".to_owned()));
    let told = balancer.backend(backing.address);
    assert_eq!((&told["state"], &told["connections"], &told["connects"]), (&"up".into(), &1.into(), &1.into()));
    assert_eq!((&told["bytes_from_clients"], &told["bytes_to_clients"]), (&5.into(), &6.into()));
    assert_eq!((&told["last_check"]["good"], &told["last_check"]["why"]), (&true.into(), &"answers".into()));
    let name = backing.address;
    assert_eq!(balancer.metric(&format!("backend_up_bytes_total{{backend=\"{name}\"}}")), 5);
    assert_eq!(balancer.metric("connections_accepted_total"), 1);
    assert_eq!(balancer.metric("backends_up"), 1);
}

#[test]
fn who_commands_must_mean_it() {
    let balancer = Balancer::before(&[crate::backing::nowhere()], &[]);
    for page in ["/drain", "/undrain?backend=a:1", "/rebalance", "/reload"] {
        assert_eq!(balancer.get(page).0, 405, "{page}");
        assert_eq!(balancer.ask("POST", page, "").0, 403, "{page}");
    }
    assert_eq!(balancer.post("/undrain").0, 400);
    assert_eq!(balancer.post("/drain?deadline=2").0, 400);
    assert_eq!(balancer.get("/").0, 404);
    assert_eq!(balancer.ask("POST", "/backends", "").0, 405);
}

#[test]
fn the_admin_port_can_end_it() {
    let mut balancer = Balancer::before(&[crate::backing::nowhere()], &[]);
    assert_eq!(balancer.post("/drain?deadline=1s").0, 202);
    assert_eq!(balancer.exit_code(), Some(0));
}
