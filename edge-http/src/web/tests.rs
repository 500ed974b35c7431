use std::sync::Arc;

use engine::memory::{Options, World};
use mail::Domain;
use store::rows::{DirectoryChange, DomainRow};

use super::*;
use crate::tests::{ask, serve, server};

// RFC 8461 §3.2, §3.3; RFC 9110 §7.2.
#[tokio::test]
async fn a_domain_of_ours_has_its_policy_and_nobody_else_has_one() {
    let world = World::new(Options::default());
    let engines = world.process("http");
    let store = Store::new(engines.clone(), store::Options::default());
    let row = |mode: &str| DomainRow {
        policies: vec![("mta-sts".to_owned(), mode.to_owned())],
        ..DomainRow::new()
    };
    let named = |name: &str| Domain::parse(name).unwrap();
    let changes = vec![
        DirectoryChange::Domain(named("one.test"), DomainRow::new()),
        DirectoryChange::Domain(named("two.test"), row("enforce")),
    ];
    store.directory().change(changes).await.unwrap();
    let web = Web::new(store, "mail.one.test".to_owned());
    let address = serve(&server(&engines), router(Arc::new(web)));
    const PATH: &str = "/.well-known/mta-sts.txt";
    let one = ask(address, "mta-sts.one.test", PATH).await;
    assert!(one.starts_with("HTTP/1.1 200") && one.contains("mode: testing\r\n"), "{one}");
    assert!(one.contains("content-type: text/plain"), "{one}");
    let two = ask(address, "MTA-STS.Two.test:443", PATH).await;
    assert!(two.contains("mode: enforce\r\nmx: mail.one.test\r\nmax_age: "), "{two}");
    for (host, path) in [
        ("mta-sts.three.test", PATH),
        ("one.test", PATH),
        ("", PATH),
        ("mta-sts.one.test", "/metrics"),
        ("mta-sts.one.test", "/healthz"),
    ] {
        let answer = ask(address, host, path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}{path}: {answer}");
    }
}
