//! MAIL and RCPT as they are said to a server that offers these features, or why they cannot be.

use std::borrow::Cow;

use mail::{BodyType, Notify, Path, Reply, Ret};

use super::{Features, Offer, OfferedRecipient};

/// The MAIL command with its CRLF.
///
/// # Errors
/// What the other side does not offer and the message needs: a reply in our words. Text is never
/// rewritten to fit (docs/rules.md).
pub(super) fn mail(offer: &Offer, features: &Features) -> Result<Vec<u8>, Reply> {
    let mut line = format!("MAIL FROM:<{}>", sender(offer, features)?);
    // RFC 1870 §6.1; 0 is "no fixed limit".
    if let (Some(max), Some(size)) = (features.size, offer.size) {
        if max > 0 && size > max {
            let text = format!("Message of {size} bytes is over the {max} that this host takes");
            return Err(ours(552, (3, 4), &text));
        }
        line += &format!(" SIZE={size}");
    }
    match offer.body {
        BodyType::SevenBit => {}
        BodyType::EightBitMime if features.eight_bit_mime => line += " BODY=8BITMIME",
        BodyType::EightBitMime => return Err(unoffered("8BITMIME")),
        // RFC 3030 §3: BINARYMIME needs CHUNKING.
        BodyType::BinaryMime if features.binary_mime && features.chunking => {
            line += " BODY=BINARYMIME";
        }
        BodyType::BinaryMime => return Err(unoffered("BINARYMIME")),
    }
    if needs_smtputf8(offer) && features.smtputf8 {
        line += " SMTPUTF8";
    }
    if features.dsn {
        match offer.ret {
            Some(Ret::Full) => line += " RET=FULL",
            Some(Ret::Headers) => line += " RET=HDRS",
            None => {}
        }
        if let Some(envid) = offer.envid.as_deref().filter(|text| is_word(text)) {
            line += &format!(" ENVID={envid}");
        }
    }
    Ok((line + "\r\n").into_bytes())
}

/// The RCPT command with its CRLF.
///
/// # Errors
/// As of [`mail`].
pub(super) fn recipient(
    recipient: &OfferedRecipient,
    features: &Features,
) -> Result<Vec<u8>, Reply> {
    let mut line = format!("RCPT TO:<{}>", path(&recipient.path, features)?);
    if features.dsn {
        if recipient.notify != Notify::UNSAID && recipient.notify.is_valid() {
            line += &format!(" NOTIFY={}", notify(recipient.notify));
        }
        if let Some(orcpt) = recipient.orcpt.as_deref().filter(|text| is_word(text)) {
            line += &format!(" ORCPT={orcpt}");
        }
    }
    Ok((line + "\r\n").into_bytes())
}

fn sender<'a>(offer: &'a Offer, features: &Features) -> Result<Cow<'a, str>, Reply> {
    if offer.smtputf8 && !features.smtputf8 {
        return Err(ours(
            554,
            (6, 7),
            "The message needs SMTPUTF8, which this host does not offer",
        ));
    }
    offer.sender.as_ref().map_or(Ok(Cow::Borrowed("")), |sender| path(sender, features))
}

/// RFC 6531 §3.4: also where only a path needs it.
fn needs_smtputf8(offer: &Offer) -> bool {
    let mut paths = offer.sender.iter().chain(offer.recipients.iter().map(|one| &one.path));
    offer.smtputf8 || paths.any(Path::needs_smtputf8)
}

/// A path that needs SMTPUTF8 for its domain only is said in A-labels to who does not offer it.
fn path<'a>(path: &'a Path, features: &Features) -> Result<Cow<'a, str>, Reply> {
    let text = if path.needs_smtputf8() && !features.smtputf8 {
        let canonical = path.address().to_string();
        if !canonical.is_ascii() {
            let text = "The address needs SMTPUTF8, which this host does not offer";
            return Err(ours(553, (6, 7), text));
        }
        Cow::Owned(canonical)
    } else {
        Cow::Borrowed(path.text())
    };
    // Paths were parsed, so this never happens; a line end in one would be another command.
    if text.chars().any(char::is_control) {
        return Err(ours(553, (1, 3), "The address has a control character"));
    }
    Ok(text)
}

fn notify(notify: Notify) -> String {
    let words = [
        (Notify::NEVER, "NEVER"),
        (Notify::SUCCESS, "SUCCESS"),
        (Notify::FAILURE, "FAILURE"),
        (Notify::DELAY, "DELAY"),
    ];
    let said = words.iter().filter(|(bit, _)| notify.contains(*bit)).map(|(_, word)| *word);
    said.collect::<Vec<_>>().join(",")
}

/// What may stand in a parameter (RFC 5321 §4.1.2 `esmtp-value`).
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
}

fn unoffered(what: &str) -> Reply {
    let text = format!("The message needs {what}, which this host does not offer");
    ours(554, (6, 3), &text)
}

pub(super) fn ours(code: u16, (subject, detail): (u16, u16), text: &str) -> Reply {
    let class = if code >= 500 { 5 } else { 4 };
    Reply::new(code, Some((class, subject, detail)), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn offer() -> Offer {
        Offer {
            sender: Some(path("ana@example.test")),
            recipients: vec![OfferedRecipient::new(path("bo@example.net"))],
            ret: Some(Ret::Headers),
            envid: Some("QQ+2B1".into()),
            size: Some(1_000),
            body: BodyType::EightBitMime,
            smtputf8: false,
        }
    }

    fn said(line: Result<Vec<u8>, Reply>) -> String {
        match line {
            Ok(line) => String::from_utf8(line).unwrap(),
            Err(reply) => reply.to_string(),
        }
    }

    // RFC 6531 §3.4; RFC 3461 §4.1, §4.4.
    #[test]
    fn parameters_are_said_only_where_they_are_offered() {
        let all = Features {
            eight_bit_mime: true,
            dsn: true,
            size: Some(0),
            smtputf8: true,
            ..Features::default()
        };
        assert_eq!(
            said(mail(&offer(), &all)),
            "MAIL FROM:<ana@example.test> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1\r\n"
        );
        let seven = Offer { body: BodyType::SevenBit, ..offer() };
        let none = Features::default();
        assert_eq!(said(mail(&seven, &none)), "MAIL FROM:<ana@example.test>\r\n");
        let null = Offer { sender: None, ..seven };
        assert_eq!(said(mail(&null, &none)), "MAIL FROM:<>\r\n");
        let mut bo = OfferedRecipient::new(path("bo@example.net"));
        bo.notify = Notify::SUCCESS.with(Notify::DELAY);
        bo.orcpt = Some("rfc822;b+2Bo@example.net".into());
        assert_eq!(
            said(recipient(&bo, &all)),
            "RCPT TO:<bo@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bo@example.net\r\n"
        );
        assert_eq!(said(recipient(&bo, &none)), "RCPT TO:<bo@example.net>\r\n");
        bo.orcpt = Some("rfc822;a\r\nDATA".into());
        assert!(!said(recipient(&bo, &all)).contains("DATA"));
    }

    #[test]
    fn what_is_needed_and_not_offered_is_refused_in_our_words() {
        let none = Features::default();
        assert!(said(mail(&offer(), &none)).starts_with("554 5.6.3 "));
        let binary = Offer { body: BodyType::BinaryMime, ..offer() };
        assert!(said(mail(&binary, &none)).starts_with("554 5.6.3 "));
        let small = Features { size: Some(999), eight_bit_mime: true, ..none.clone() };
        assert!(said(mail(&offer(), &small)).starts_with("552 5.3.4 "));
        let utf8 = Offer { smtputf8: true, body: BodyType::SevenBit, ..offer() };
        assert!(said(mail(&utf8, &none)).starts_with("554 5.6.7 "));
        // Only the domain: said in A-labels; the local part too: refused.
        let domain = OfferedRecipient::new(path("bo@b\u{fc}cher.example"));
        assert_eq!(said(recipient(&domain, &none)), "RCPT TO:<bo@xn--bcher-kva.example>\r\n");
        let local = OfferedRecipient::new(path("b\u{f6}@example.net"));
        assert!(said(recipient(&local, &none)).starts_with("553 5.6.7 "));
        let offered = Features { smtputf8: true, eight_bit_mime: true, ..none };
        assert_eq!(said(recipient(&local, &offered)), "RCPT TO:<b\u{f6}@example.net>\r\n");
        let offer = Offer { recipients: vec![local], ret: None, envid: None, ..offer() };
        assert!(said(mail(&offer, &offered)).ends_with(" SMTPUTF8\r\n"));
    }
}
