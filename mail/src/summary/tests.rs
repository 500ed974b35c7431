use super::*;
use crate::part::{Disposition, Embedded, Encoding, Inside, Param};

fn field(name: FieldName, raw: &str) -> Field {
    Field { name, raw: raw.as_bytes().to_vec() }
}

fn small() -> Summary {
    Summary {
        fields: vec![
            field(FieldName::From, "From: Ana <ana@example.org>\r\n"),
            field(FieldName::Subject, "SUBJECT : odd\r\n spelling\r\n"),
            field(FieldName::MessageId, "Message-Id: <x@y>\n"),
        ],
        header_len: 90,
        size: 100,
        lines: 5,
        structure: Part::plain(0..90, 90..100),
        preview: "Bücher".into(),
        cut: false,
    }
}

fn nested() -> Summary {
    let leaf = Part {
        media: "x".into(),
        subtype: "y+z".into(),
        params: vec![
            Param { name: "charset".into(), value: b"utf-8".to_vec() },
            Param { name: "name*0*".into(), value: b"utf-8''\xff".to_vec() },
        ],
        id: Some(b"<1@2>".to_vec()),
        description: Some(Vec::new()),
        encoding: Encoding::Other("uuencode".into()),
        md5: Some(b"md5".to_vec()),
        disposition: Some(Disposition { kind: "attachment".into(), params: Vec::new() }),
        language: vec![b"de".to_vec(), b"lv".to_vec()],
        location: Some(b"http://x".to_vec()),
        ..Part::plain(300..330, 330..340)
    };
    let message = Part {
        inside: Inside::Message(Box::new(Embedded {
            fields: vec![field(FieldName::From, "From: x\r\n")],
            part: Part::plain(380..390, 390..400),
        })),
        ..Part::plain(350..380, 380..400)
    };
    Summary {
        size: 410,
        structure: Part {
            media: "multipart".into(),
            subtype: "mixed".into(),
            inside: Inside::Multipart(vec![leaf, message]),
            ..Part::plain(0..90, 90..410)
        },
        ..small()
    }
}

#[test]
fn summaries_survive_their_encoding() {
    for summary in [small(), nested()] {
        let encoded = summary.encode();
        assert_eq!(Summary::decode(&encoded).as_ref(), Ok(&summary));
        let uncompressed = Summary::uncompressed(&encoded).unwrap();
        assert_eq!(Summary::decode(&uncompressed), Ok(summary));
        assert!(Summary::uncompressed(&uncompressed).is_err());
    }
}

#[test]
fn values_of_fields_are_cut_out_of_their_bytes() {
    let summary = small();
    assert_eq!(summary.field(FieldName::Subject).unwrap().value(), b" odd\r\n spelling");
    assert_eq!(summary.field(FieldName::MessageId).unwrap().value(), b" <x@y>");
    assert!(summary.field(FieldName::To).is_none());
}

/// Text that zstd cannot shrink much.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from(state >> 58).unwrap())
        })
        .collect()
}

#[test]
fn what_is_too_large_is_cut_and_says_so() {
    let check = |summary: &Summary, fields: usize| {
        let encoded = summary.encode();
        assert!(encoded.len() <= SUMMARY_BYTES_MAX);
        let decoded = Summary::decode(&encoded).unwrap();
        assert!(decoded.cut);
        assert_eq!(decoded.fields.len(), fields);
        assert_eq!((decoded.size, decoded.lines), (summary.size, summary.lines));
    };
    let mut long = nested();
    long.fields.push(field(FieldName::To, &format!("To: {}\r\n", noise(20_000))));
    check(&long, 3);
    // Compresses well, but is too large before compression.
    long.fields.pop();
    long.fields.push(field(FieldName::To, &format!("To: {}\r\n", "a".repeat(70_000))));
    check(&long, 3);
    let mut many = small();
    let words = noise(200_000);
    many.fields.extend(
        words
            .as_bytes()
            .chunks(100)
            .map(|word| Field { name: FieldName::To, raw: [b"To: ", word, b"\r\n"].concat() }),
    );
    check(&many, 4);
    let mut deep = nested();
    deep.structure.location = Some(noise(20_000).into());
    check(&deep, 3);
}

#[test]
fn damaged_summaries_are_refused_or_read_as_another_but_never_panic() {
    let raw_damage = |summary: &Summary| {
        let good = summary.encode();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(other) = Summary::decode(&bad) {
                    assert!(other.encode().len() <= SUMMARY_BYTES_MAX);
                }
            }
            assert!(Summary::decode(&good[..at]).is_err());
        }
    };
    raw_damage(&small());
    raw_damage(&nested());
    assert!(Summary::decode(&[]).is_err());
    assert!(Summary::decode(&[9; 100]).is_err());
}

// RFC 8878 §3.1.1.
#[test]
fn the_stored_form_stays_readable() {
    // Version 1. What was once stored is read for ever: never change these bytes, add others.
    const RAW: &str = "\
        01000504004000005ac002000200017803792b7a0201057574662d3800076e616d652a302a087574662d\
        382727ff3f05087575656e636f6465053c3140323e00036d643508687474703a2f2f780a617474616368\
        6d656e740002026465026c76d2011e0a00010080000a1e14000101017801000000000a0a00030115416e\
        61203c616e61406578616d706c652e6f72673e001a5355424a454354203a206f64640d0a207370656c6c\
        696e670d0a00124d6573736167652d49643a203c7840793e0a0742c3bc63686572\
    ";
    const STORED: &str = "\
        0020c949060001000504004000005ac002000200017803792b7a0201057574662d3800076e616d652a30\
        2a087574662d382727ff3f05087575656e636f6465053c3140323e00036d643508687474703a2f2f780a\
        6174746163686d656e740002026465026c76d2011e0a00010080000a1e14000101017801000000000a0a\
        00030115416e61203c616e61406578616d706c652e6f72673e001a5355424a454354203a206f64640d0a\
        207370656c6c696e670d0a00124d6573736167652d49643a203c7840793e0a0742c3bc63686572\
    ";
    assert_eq!(nested().raw(), unhex(RAW));
    assert_eq!(Summary::decode(&unhex(STORED)), Ok(nested()));
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
