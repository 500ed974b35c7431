//! ENVELOPE from a summary's fields (RFC 9051 §7.5.2). No body is read.

use mail::header::{self, AddressItem};
use mail::summary::{Field, FieldName, first};
use proto::imap::response::{Address, Envelope};

/// The envelope of the message with these fields. Text stays encoded (RFC 2047), folds are undone.
pub(crate) fn of(fields: &[Field]) -> Envelope {
    let text = |name| first(fields, name).map(|field| header::unfold(field.value()).into_owned());
    let list = |name| {
        let mut list = Vec::new();
        // RFC 5322 §3.6 allows each once; where there are more, all recipients are shown.
        fields.iter().filter(|field| field.name == name).for_each(|field| {
            list.extend(header::addresses(field.value()).into_iter().map(address));
        });
        list
    };
    Envelope {
        date: text(FieldName::Date),
        subject: text(FieldName::Subject),
        from: list(FieldName::From),
        sender: list(FieldName::Sender),
        reply_to: list(FieldName::ReplyTo),
        to: list(FieldName::To),
        cc: list(FieldName::Cc),
        bcc: list(FieldName::Bcc),
        in_reply_to: text(FieldName::InReplyTo),
        message_id: text(FieldName::MessageId),
    }
}

fn address(item: AddressItem) -> Address {
    let AddressItem { name, route, mailbox, host } = item;
    Address { name, route, mailbox, host }
}
