use super::*;

fn tls() -> Tls {
    Tls {
        version: "TLSv1.3",
        exporter: Some([9; 32]),
        server_end_point: Some(vec![8; 32]),
        ..Tls::default()
    }
}

fn pencil() -> Verifiers {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let derive = |password| Verifier::derive(password, &salt, 4096).unwrap();
    Verifiers::new(vec![derive("app password"), derive("pencil")]).unwrap()
}

#[track_caller]
fn challenge(step: Step) -> String {
    let Step::Challenge(bytes) = step else { panic!("{step:?}") };
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn malformed(step: Step) -> &'static str {
    let Step::Failed(Failure::Malformed(why)) = step else { panic!("{step:?}") };
    why
}

/// A client of its own, written from RFC 5802 §3, that shares no code with the server but HMAC.
fn client_final(password: &str, bare: &str, server_first: &str, gs2: &[u8]) -> (String, String) {
    let field = |name: &str| {
        let part = server_first.split(',').find_map(|part| part.strip_prefix(name));
        part.unwrap().to_owned()
    };
    let salt = STANDARD.decode(field("s=")).unwrap();
    let iterations = field("i=").parse::<u32>().unwrap();
    let hmac = |key: &[u8], text: &[u8]| verifier::mac(key, &[text]);
    // PBKDF2 of one block, by its definition.
    let mut block = hmac(password.as_bytes(), &[&*salt, &[0, 0, 0, 1]].concat());
    let mut salted = block;
    for _ in 1..iterations {
        block = hmac(password.as_bytes(), &block);
        salted.iter_mut().zip(block).for_each(|(a, b)| *a ^= b);
    }
    let client_key = hmac(&salted, b"Client Key");
    let stored_key = verifier::sha256(&client_key);
    let without_proof = format!("c={},r={}", STANDARD.encode(gs2), field("r="));
    let auth_message = format!("{bare},{server_first},{without_proof}");
    let mut proof = hmac(&stored_key, auth_message.as_bytes());
    proof.iter_mut().zip(client_key).for_each(|(a, b)| *a ^= b);
    let server = hmac(&hmac(&salted, b"Server Key"), auth_message.as_bytes());
    let message = format!("{without_proof},p={}", STANDARD.encode(proof));
    (message, format!("v={}", STANDARD.encode(server)))
}

/// Runs a whole exchange; returns the last step.
fn scram(mechanism: Mechanism, gs2: &str, data: &[u8], password: &str, plus_offered: bool) -> Step {
    let bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    let first = format!("{gs2}{bare}");
    let (mut exchange, step) =
        Exchange::start(mechanism, Some(first.as_bytes()), Some(&tls()), plus_offered);
    let Step::NeedVerifiers { user } = step else { return step };
    assert_eq!(user, "user");
    let server_first = challenge(exchange.verifiers(pencil(), &Nonce([3; 18])));
    let bound = [gs2.as_bytes(), data].concat();
    let (message, server_final) = client_final(password, bare, &server_first, &bound);
    match exchange.step(message.as_bytes()) {
        Step::Challenge(proof) => {
            assert_eq!(String::from_utf8(proof).unwrap(), server_final);
            exchange.step(b"")
        }
        step => step,
    }
}

// RFC 4616 §4
// RFC 4616 §2; RFC 4422 §3.
#[test]
fn plain_asks_for_its_password_to_be_checked() {
    let (_, step) = Exchange::start(Mechanism::Plain, Some(b"\0tim\0tanstaaf"), None, false);
    let Step::Check { user, authzid: None, password } = step else { panic!("{step:?}") };
    assert_eq!((&*user, password.reveal(), &*format!("{password:?}")), ("tim", "tanstaaf", "•••"));
    let (mut exchange, step) = Exchange::start(Mechanism::Plain, None, None, false);
    assert_eq!(challenge(step), "");
    let Step::Check { user, authzid, .. } = exchange.step(b"Ursel\0Kurt\0xipj3plmq") else {
        panic!("no check")
    };
    assert_eq!((&*user, authzid.as_deref()), ("Kurt", Some("Ursel")));
    malformed(exchange.step(b"\0tim\0tanstaaf"));
}

#[test]
fn login_asks_for_the_user_then_for_the_password() {
    let (mut exchange, step) = Exchange::start(Mechanism::Login, None, None, false);
    assert_eq!(challenge(step), "Username:");
    assert_eq!(challenge(exchange.step(b"tim")), "Password:");
    assert!(matches!(exchange.step(b"x"), Step::Check { user, .. } if user == "tim"));
    let (mut exchange, step) = Exchange::start(Mechanism::Login, Some(b"tim"), None, false);
    assert_eq!(challenge(step), "Password:");
    assert!(matches!(exchange.step(b"x"), Step::Check { .. }));
}

// C2: whatever a client says fails its exchange, and nothing else.
// RFC 5802 §5.1, §7.
#[test]
fn nonsense_fails_the_exchange_with_a_reason() {
    for response in
        [&b""[..], b"tim", b"\0tim", b"\0\0pw", b"\0a\0b\0c", b"\0\xff\0x", b"\0t\nm\0x"]
    {
        let (_, step) = Exchange::start(Mechanism::Plain, Some(response), None, false);
        malformed(step);
    }
    let long = [b"\0tim\0", &[b'x'; RESPONSE_BYTES_MAX][..]].concat();
    malformed(Exchange::start(Mechanism::Plain, Some(&long), None, false).1);
    for first in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,r=abc",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "x,,n=u,r=a",
        "n,b=x,n=user,r=abc",
        "n,,m=ext,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us\0er,r=abc",
        "n,,n=user,r=a b",
        "p=tls-exporter,,n=user,r=abc",
    ] {
        let (mut exchange, step) =
            Exchange::start(Mechanism::ScramSha256, Some(first.as_bytes()), Some(&tls()), true);
        malformed(step);
        malformed(exchange.verifiers(pencil(), &Nonce([0; 18])));
        malformed(exchange.step(b""));
    }
}

// RFC 7677 §3: the example, with our own nonce.
#[test]
fn scram_proves_both_sides_and_tells_which_password_it_was() {
    let step = scram(Mechanism::ScramSha256, "n,,", b"", "pencil", false);
    let Step::Done { user, authzid: None, verifier: 1 } = step else { panic!("{step:?}") };
    assert_eq!(user, "user");
    let step = scram(Mechanism::ScramSha256, "n,a=x=2Cy=3Dz,", b"", "app password", true);
    let Step::Done { authzid, verifier: 0, .. } = step else { panic!("{step:?}") };
    assert_eq!(authzid.as_deref(), Some("x,y=z"));
    let step = scram(Mechanism::ScramSha256, "n,,", b"", "Pencil", false);
    assert!(matches!(step, Step::Failed(Failure::Refused { user }) if user == "user"));
}

// RFC 5802 §6, RFC 9266, RFC 5929
// RFC 5929 §4.
#[test]
fn channel_binding_holds_to_this_connection() {
    let plus = Mechanism::ScramSha256Plus;
    for (gs2, data) in [("p=tls-exporter,,", &[9; 32]), ("p=tls-server-end-point,,", &[8; 32])] {
        assert!(matches!(scram(plus, gs2, data, "pencil", true), Step::Done { .. }), "{gs2}");
        let elsewhere = scram(plus, gs2, &[7; 32], "pencil", true);
        assert_eq!(malformed(elsewhere), "another channel binding");
    }
    malformed(scram(plus, "p=tls-unique,,", b"", "pencil", true));
    malformed(scram(plus, "n,,", b"", "pencil", true));
    malformed(scram(plus, "y,,", b"", "pencil", true));
    let unbound = Mechanism::ScramSha256;
    assert!(matches!(scram(unbound, "y,,", b"", "pencil", false), Step::Done { .. }));
    // A client that could bind was told that we cannot: a downgrade.
    malformed(scram(unbound, "y,,", b"", "pencil", true));
    assert!(!plus.possible(None) && plus.possible(Some(&tls())));
}

#[test]
fn a_final_message_that_was_tampered_with_fails() {
    let bare = "n=user,r=abc";
    for (from, to) in
        [("r=abc", "r=abd"), (",p=", ",q="), ("c=biws", "c=eSws"), (",p=", ",p=A"), ("c=", "d=")]
    {
        let first = format!("n,,{bare}");
        let (mut exchange, _) =
            Exchange::start(Mechanism::ScramSha256, Some(first.as_bytes()), None, false);
        let server_first = challenge(exchange.verifiers(pencil(), &Nonce([3; 18])));
        let (message, _) = client_final("pencil", bare, &server_first, b"n,,");
        malformed(exchange.step(message.replacen(from, to, 1).as_bytes()));
    }
}

#[test]
fn base64_lines_are_undone_or_end_the_exchange() {
    assert_eq!(Response::parse(b"AHRpbQB0"), Response::Data(b"\0tim\0t".to_vec()));
    assert_eq!(Response::parse(b""), Response::Data(vec![]));
    assert_eq!(Response::parse(b"*"), Response::Abort);
    assert_eq!(Response::parse_initial(b"="), Response::Data(vec![]));
    for bad in [&b"="[..], b"A", b"AA=A", b"A A=", b"AHRpbQB0\r"] {
        assert_eq!(Response::parse(bad), Response::Malformed);
    }
    assert_eq!(encode(b"Username:"), "VXNlcm5hbWU6");
    assert_eq!(Mechanism::parse(b"scram-sha-256-plus"), Some(Mechanism::ScramSha256Plus));
    assert_eq!(Mechanism::parse(b"CRAM-MD5"), None);
}
