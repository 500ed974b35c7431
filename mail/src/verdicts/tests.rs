use super::*;

fn full() -> Verdicts {
    Verdicts {
        spf: Some(SpfVerdict { found: Found::Pass, domain: "a.test".into(), helo: false }),
        dkim: Some(vec![DkimVerdict {
            found: Found::Fail,
            domain: "a.test".into(),
            selector: "s1".into(),
            signature: "AbCd1234".into(),
        }]),
        dmarc: Some(DmarcVerdict {
            found: Found::Pass,
            from: "a.test".into(),
            record: "a.test".into(),
            asked: Asked::Reject,
            spf_aligned: true,
            dkim_aligned: false,
        }),
        arc: Some(ArcVerdict { found: Found::Pass, sealer: "l.test".into(), sets: 2 }),
        reverse: Some(ReverseVerdict { found: Found::Pass, name: "mx.a.test".into() }),
        listed: vec!["zen".into()],
        spam: Some(-150),
        junk: true,
        reasons: vec!["listed by zen".into()],
    }
}

#[test]
fn verdicts_survive() {
    for verdicts in [Verdicts::default(), full()] {
        assert_eq!(Verdicts::decode(&verdicts.encode()), Ok(verdicts));
    }
    assert_eq!(Verdicts::decode(&[]), Ok(Verdicts::default()));
    assert!(Verdicts::decode(&[2, 0]).is_err());
    let mut longer = full().encode();
    longer.push(0);
    assert!(Verdicts::decode(&longer).is_err());
    for end in 1..full().encode().len() {
        assert!(Verdicts::decode(&full().encode()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn verdicts_have_a_bound() {
    let long = "é".repeat(400);
    let one = DkimVerdict { domain: long.clone(), selector: long.clone(), ..Default::default() };
    let mut verdicts = full();
    verdicts.dkim = Some(vec![one; 50]);
    verdicts.reasons = vec![long.clone(); 50];
    verdicts.listed = vec![long; 50];
    let bytes = verdicts.encode();
    assert!(bytes.len() <= VERDICTS_BYTES_MAX);
    let read = Verdicts::decode(&bytes).unwrap();
    assert!(read.junk && read.dmarc == verdicts.dmarc);
}

#[test]
fn the_field_tells_all_that_was_found() {
    let verdicts = full();
    let peer = "203.0.113.9".parse().unwrap();
    let results = AuthenticationResults { host: "mx.test", peer, verdicts: &verdicts };
    let expected = "Authentication-Results: mx.test;\r\n\
        \tiprev=pass (mx.a.test) policy.iprev=203.0.113.9;\r\n\
        \tspf=pass smtp.mailfrom=a.test;\r\n\
        \tdkim=fail header.d=a.test header.s=s1 header.b=AbCd1234;\r\n\
        \tdmarc=pass (p=reject) header.from=a.test;\r\n\
        \tarc=pass (i=2 d=l.test)\r\n";
    assert_eq!(results.field().as_deref(), Some(expected));
    let nothing = Verdicts::default();
    assert_eq!(AuthenticationResults { verdicts: &nothing, ..results }.field(), None);
}

// F2: what a signature says of itself cannot end the field, nor speak for another check.
#[test]
fn the_field_cannot_be_broken() {
    let mut verdicts = full();
    for evil in ["a(.b", "a\r\nX: y", "a; dmarc=pass", "a\0b", "\"", "a b", ""] {
        verdicts.dkim = Some(vec![DkimVerdict {
            found: Found::Fail,
            domain: evil.into(),
            selector: evil.into(),
            signature: evil.into(),
        }]);
        verdicts.dmarc.as_mut().unwrap().from = evil.into();
        let peer = "2001:db8::1".parse().unwrap();
        let results = AuthenticationResults { host: "mx.test", peer, verdicts: &verdicts };
        let field = results.field().unwrap();
        assert_eq!(crate::trace::check_field(&field), Ok(()), "{field}");
        assert_eq!(field.matches(';').count(), 5, "{field}");
        assert!(!field.contains("a(") && !field.contains('\0'), "{field}");
    }
}
