//! A request that comes round to the gate that it came from, and one that goes through two gates.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{io, thread};

use crate::shared::gate::Gate;
use crate::support::{Request, Upstream, World};

const OPEN: &str = "version: 1\nroutes:\n  - { name: all, match: { path: \"/**\" }, require: public }\n";

/// A gate with nothing to guard before whatever listens on a port.
fn open(upstream: u16) -> Gate {
    Gate::setup_to(upstream).policy(OPEN).start()
}

/// The address of something that passes bytes on to this port. What leads back at once is refused at load.
fn leading_to(port: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for from in listener.incoming() {
            let (from, to) = (from.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut up, mut down) = ((from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from));
            thread::spawn(move || io::copy(&mut up.0, &mut up.1).is_ok());
            thread::spawn(move || io::copy(&mut down.0, &mut down.1).is_ok());
        }
    });
    address
}

#[test]
fn a_gate_whose_upstream_is_itself_ends_the_round_and_goes_on() {
    let setup = Gate::setup_to(1).policy(OPEN);
    let upstreams = format!("{{ app: {{ url: \"http://{}\" }} }}", leading_to(setup.port));
    let gate = setup.upstreams(&upstreams).start();
    let response = gate.send(&Request::get("/round"));
    assert_eq!(response.status, 400, "{response:?}");
    assert!(response.body.contains("request_malformed"), "{response:?}");
    gate.audited("the last round is refused", |line| line["decision"] == "deny");
    let lines = gate.audit();
    let passed = lines.iter().filter(|line| line["decision"] == "allow").count();
    assert_eq!((passed, lines.len()), (3, 4), "{lines:?}");
    gate.logged("denied", |line| line["detail"].as_str().is_some_and(|detail| detail.contains("goes round")));
    assert!(gate.is_live());
}

#[test]
fn two_gates_that_lead_to_each_other_end_the_round_too() {
    let far = Gate::setup_to(1).policy(OPEN);
    let near = Gate::setup_to(far.port).policy(OPEN).start();
    let far = far.upstreams(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", near.port)).start();
    assert_eq!(near.send(&Request::get("/round")).status, 400);
    assert!(near.audit().len() + far.audit().len() <= 7);
}

#[test]
fn behind_another_gate_a_request_passes_and_names_both() {
    let upstream = Upstream::start();
    let far = open(upstream.port);
    let near = open(far.port);
    assert_eq!(near.send(&Request::get("/x").header("Via", "1.0 edge, 1.1 stepgate")).status, 200);
    let seen = upstream.last();
    let vias = seen.values("via").join(", ");
    let hops: Vec<&str> = vias.split(", ").collect();
    assert_eq!(hops[..2], ["1.0 edge", "1.1 stepgate"]);
    assert!(hops.len() == 4 && hops[2] != hops[3], "{vias}");
    // `Connection` takes away what the client said, and never what the gate says.
    let listed = Request::get("/x").header("Via", "1.0 edge").header("Connection", "via");
    assert_eq!(near.send(&listed).status, 200);
    assert_eq!(upstream.last().values("via"), hops[2..], "{vias}");
    for hop in &hops[2..] {
        assert!(hop.starts_with("1.1 stepgate-"), "{vias}");
    }
}

#[test]
fn a_response_does_not_say_what_it_came_through() {
    let world = World::start();
    let response = world.gate.send(&Request::get("/public/x"));
    assert_eq!((response.status, response.header("via")), (200, None));
}
