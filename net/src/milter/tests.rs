//! Conversations with filters that are played.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::driver::tests_support::ManualClock;

const MESSAGE: &[u8] = b"From: a@b.test\r\nSubject: one\r\n two\r\n\r\nhello\r\nworld\r\n";

fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(data.len() + 1).unwrap().to_be_bytes().to_vec();
    out.push(command);
    out.extend_from_slice(data);
    out
}

fn agreed(version: u32, wants: u32) -> Vec<u8> {
    let numbers = [version, 0x1f, wants];
    packet(b'O', &numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>())
}

/// A filter that answers each command by what is set for it, and what it was told.
async fn converse(
    first: Vec<u8>,
    answers: &[(u8, Vec<u8>)],
    message: &[u8],
) -> (Result<Said, String>, Vec<(u8, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("milter");
    let listener = UnixListener::bind(&path).unwrap();
    let heard: Mutex<Vec<(u8, Vec<u8>)>> = Mutex::default();
    let filter = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Ok(length) = stream.read_u32().await {
            let mut data = vec![0; usize::try_from(length).unwrap()];
            if stream.read_exact(&mut data).await.is_err() {
                break;
            }
            let rest = data.split_off(1);
            heard.lock().unwrap().push((data[0], rest));
            let answer = match data[0] {
                b'O' => first.clone(),
                b'D' | b'Q' => continue,
                command => {
                    let set = answers.iter().find(|(of, _)| *of == command);
                    set.map_or_else(|| packet(b'c', &[]), |(_, answer)| answer.clone())
                }
            };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    };
    let clock = Arc::new(ManualClock::default());
    let milter = Milter::new(MilterAddress::Unix(path.clone()), clock, Duration::from_secs(10));
    let shown = Shown {
        host: "mx.test",
        peer: "192.0.2.1".parse().unwrap(),
        peer_name: None,
        helo: "far.test",
        sender: "x@far.test",
        recipients: &["ana@b.test", "bo@b.test"],
        id: "1",
        message,
    };
    let asked = async {
        let said = milter.ask(&shown).await;
        drop(milter);
        said
    };
    let (said, ()) = futures_util::future::join(asked, filter).await;
    (said, heard.into_inner().unwrap())
}

fn all() -> Vec<u8> {
    agreed(6, 0)
}

#[tokio::test]
async fn a_filter_sees_all_of_a_message_and_accepts_it() {
    let (said, heard) = converse(all(), &[], MESSAGE).await;
    assert_eq!(said.unwrap(), Said { decision: Decision::Accept, fields: Vec::new() });
    let steps: String =
        heard.iter().map(|(command, _)| char::from(*command)).filter(|c| *c != 'D').collect();
    assert_eq!(steps, "OCHMRRTLLNBEQ");
    let told = |command: u8| {
        let mut all = heard.iter().filter(|(of, _)| *of == command);
        all.next_back().unwrap().1.clone()
    };
    assert_eq!(told(b'C'), b"[192.0.2.1]\x004\x00\x00192.0.2.1\x00");
    assert_eq!(told(b'M'), b"<x@far.test>\0");
    assert_eq!(told(b'L'), b"Subject\0one\n two\0");
    assert_eq!(told(b'B'), b"hello\r\nworld\r\n");
}

#[tokio::test]
async fn steps_that_a_filter_does_not_want_are_left_out_and_silence_is_not_waited_for() {
    use wants::*;
    let wants = NO_CONNECT
        | NO_HELO
        | NO_DATA
        | NO_BODY
        | SILENT_MAIL
        | SILENT_HEADER
        | SILENT_RECIPIENT
        | SILENT_END_OF_HEADER;
    let silent = [b'M', b'R', b'L', b'N'].map(|command| (command, Vec::new()));
    let (said, heard) = converse(agreed(6, wants), &silent, MESSAGE).await;
    assert_eq!(said.unwrap().decision, Decision::Accept);
    let steps: String =
        heard.iter().map(|(command, _)| char::from(*command)).filter(|c| *c != 'D').collect();
    assert_eq!(steps, "OMRRLLNEQ");
}

#[tokio::test]
async fn what_a_filter_decides_is_told_at_every_step() {
    let words = packet(b'y', b"550 5.7.1 no\r\nX: y\0");
    for (answers, decision) in [
        (vec![(b'C', packet(b'r', &[]))], Decision::Reject(None)),
        (vec![(b'M', packet(b't', &[]))], Decision::Later(None)),
        (vec![(b'M', words)], Decision::Reject(Some("550 5.7.1 no  X: y".to_owned()))),
        (vec![(b'E', packet(b'y', b"451 later\0"))], Decision::Later(Some("451 later".to_owned()))),
        // One of two recipients is none of all, both are.
        (vec![(b'R', packet(b'r', &[]))], Decision::Reject(None)),
        (vec![(b'L', packet(b'a', &[]))], Decision::Accept),
        (vec![(b'B', packet(b's', &[])), (b'E', packet(b'd', &[]))], Decision::Discard),
        (
            vec![(b'E', [packet(b'p', &[]), packet(b'q', b"odd\0"), packet(b'c', &[])].concat())],
            Decision::Quarantine("odd".to_owned()),
        ),
    ] {
        let (said, _) = converse(all(), &answers, MESSAGE).await;
        assert_eq!(said.unwrap().decision, decision, "{answers:?}");
    }
    let changes = [
        packet(b'h', b"X-Spam-Flag\0YES\0"),
        packet(b'i', b"\0\0\0\x01X-Spam\0Yes\0"),
        packet(b'm', b"\0\0\0\x01Subject\0other\0"),
        packet(b'b', b"another body"),
        packet(b'-', b"<ana@b.test>\0"),
        packet(b'a', &[]),
    ];
    let (said, _) = converse(all(), &[(b'E', changes.concat())], MESSAGE).await;
    let said = said.unwrap();
    assert_eq!(said.decision, Decision::Accept);
    let names: Vec<_> = said.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names, ["X-Spam-Flag=YES", "X-Spam=Yes", "Subject=other"]);
}

#[tokio::test]
async fn odd_filters_are_a_fault_and_no_decision() {
    for (first, answers) in [
        (packet(b'c', &[]), vec![]),
        (agreed(99, 0), vec![]),
        (packet(b'O', &[0, 0]), vec![]),
        (vec![0xff; 8], vec![]),
        (vec![0, 0, 0, 0], vec![]),
        (all(), vec![(b'H', packet(b'?', &[]))]),
        (all(), vec![(b'E', packet(b'y', b"250 fine\0"))]),
        (all(), vec![(b'E', packet(b'h', b"a\0b\0").repeat(30_000))]),
    ] {
        let (said, _) = converse(first.clone(), &answers, MESSAGE).await;
        assert!(said.is_err(), "{first:?} {:?}", said);
    }
    // Not there at all.
    let clock = Arc::new(ManualClock::default());
    let address = MilterAddress::parse("unix:/nonexistent/milter").unwrap();
    let nobody = Milter::new(address, clock, Duration::from_secs(1));
    let shown = Shown {
        host: "mx.test",
        peer: "2001:db8::1".parse().unwrap(),
        peer_name: Some("far.test"),
        helo: "far.test",
        sender: "",
        recipients: &[],
        id: "1",
        message: MESSAGE,
    };
    assert!(nobody.ask(&shown).await.is_err());
    assert_eq!(
        MilterAddress::parse("inet:127.0.0.1:11332"),
        Some(MilterAddress::Tcp("127.0.0.1:11332".parse().unwrap()))
    );
    for bad in ["", "inet:", "inet:localhost:1", "unix:relative", "127.0.0.1:1"] {
        assert_eq!(MilterAddress::parse(bad), None, "{bad}");
    }
}
