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
        assert_eq!(Summary::decode(&encoded), Ok(summary));
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
