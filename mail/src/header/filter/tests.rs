use super::*;

#[track_caller]
fn check(unwanted: &Unwanted, message: &str, expected: &str, removed: usize) {
    for size in 1..=message.len() {
        let (mut filter, mut out) = (Filter::new(vec![unwanted.clone()]), Vec::new());
        message.as_bytes().chunks(size).for_each(|piece| filter.feed(piece, &mut out));
        assert_eq!(
            filter.is_done(),
            message.starts_with("\r\n") || message.contains("\n\r\n") || message.contains("\n\n")
        );
        filter.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "pieces of {size}");
        assert_eq!(filter.removed(), removed);
    }
}

#[test]
fn bcc_goes_with_all_its_lines_and_nothing_else() {
    let check = |message, expected, removed| check(&Unwanted::Bcc, message, expected, removed);
    check(
        "To: a\r\nBCC : b,\r\n c\r\n\td\r\nCc: e\r\n\r\nBcc: f\r\n",
        "To: a\r\nCc: e\r\n\r\nBcc: f\r\n",
        1,
    );
    check("bcc:\nbcc: x\nBccx: y\n\n", "Bccx: y\n\n", 2);
    check("Bcc: no end", "", 1);
    check("To: no end\r\n ", "To: no end\r\n ", 0);
    check("\r\nBcc: body\r\n", "\r\nBcc: body\r\n", 0);
    let long = format!("Bcc: {}\r\n x\r\nTo: {}\r\n\r\n", "b".repeat(5_000), "t".repeat(5_000));
    check(&long, &format!("To: {}\r\n\r\n", "t".repeat(5_000)), 1);
}

#[test]
fn only_results_in_our_name_go() {
    let ours = Unwanted::AuthenticationResults("mx.example.test".into());
    let check = |message, expected, removed| check(&ours, message, expected, removed);
    check("Authentication-Results: mx.example.test; spf=pass\r\n\r\n", "\r\n", 1);
    check("authentication-results: (c) \"MX.Example.Test\" 1;\r\n spf=pass\r\n\r\n", "\r\n", 1);
    check("Authentication-Results:\r\n mx.example.test; spf=pass\r\n\r\n", "\r\n", 1);
    let theirs = "Authentication-Results: mx.example.testing; spf=pass\r\nReceived: x\r\n\r\n";
    check(theirs, theirs, 0);
    let folded = "Authentication-Results:\r\n \r\n theirs.example; spf=pass\r\nX: y\r\n\r\n";
    check(folded, folded, 0);
    let empty = "Authentication-Results:\r\nX: y\r\nAuthentication-Results: \r\n\r\nbody";
    check(empty, empty, 0);
    check("Authentication-Results: ", "Authentication-Results: ", 0);
    let blank = format!(
        "Authentication-Results:{}\r\n mx.example.test;\r\nX: y\r\n\r\n",
        " ".repeat(3_000)
    );
    check(&blank, "X: y\r\n\r\n", 1);
}

#[test]
fn what_is_missing_is_added_at_the_end_of_the_header() {
    let check = |message: &str, expected: &str| {
        for size in 1..=message.len().max(1) {
            let filter = Filter::new(vec![Unwanted::Bcc]).adding("Date: d\r\n".into()).unwrap();
            let mut filter = filter.adding("Message-ID: <m>\r\n".into()).unwrap();
            let mut out = Vec::new();
            message.as_bytes().chunks(size).for_each(|piece| filter.feed(piece, &mut out));
            filter.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "pieces of {size}");
        }
    };
    check("A: b\r\n\r\nbody", "A: b\r\nDate: d\r\nMessage-ID: <m>\r\n\r\nbody");
    check("DATE : x\r\nBcc: y\r\n\r\n", "DATE : x\r\nMessage-ID: <m>\r\n\r\n");
    check("message-id: x\r\nA: b\r\n date: y", "message-id: x\r\nA: b\r\n date: y\r\nDate: d\r\n");
    check("date: x\nmessage-id: y\n\nDate: z", "date: x\nmessage-id: y\n\nDate: z");
    check("\r\n", "Date: d\r\nMessage-ID: <m>\r\n\r\n");
    let long = "x".repeat(5_000);
    check(
        &format!("Date: {long}\r\nMessage-ID: {long}\r\n\r\n"),
        &format!("Date: {long}\r\nMessage-ID: {long}\r\n\r\n"),
    );
    for bad in ["", "Date: d", "Date: d\r\n\r\n", "Date d\r\n", "A: b\r\nC: d\r\n"] {
        assert!(Filter::new(Vec::new()).adding(bad.into()).is_err());
    }
}
