//! BODY and BODYSTRUCTURE from a summary (RFC 9051 §7.5.2, `body` of §9). No body is read.

use mail::part::{Embedded, Inside, Param, Part};
use proto::imap::response;
use proto::imap::response::{Kind, Params};

use crate::fetch::envelope;

/// The structure of `part` as FETCH writes it.
pub(crate) fn of(part: &Part) -> response::Part {
    response::Part {
        kind: kind(part),
        params: params(&part.params),
        id: part.id.clone(),
        description: part.description.clone(),
        encoding: part.encoding.as_str().as_bytes().to_vec(),
        octets: part.octets(),
        md5: part.md5.clone(),
        disposition: part.disposition.as_ref().map(|disposition| response::Disposition {
            kind: disposition.kind.as_bytes().to_vec(),
            params: params(&disposition.params),
        }),
        language: part.language.clone(),
        location: part.location.clone(),
    }
}

fn kind(part: &Part) -> Kind {
    let subtype = part.subtype.as_bytes().to_vec();
    match part.media.as_str() {
        "multipart" => Kind::Multipart { subtype, parts: inside(part) },
        "text" => Kind::Text { subtype, lines: part.lines },
        "message" if matches!(part.subtype.as_str(), "rfc822" | "global") => {
            let (envelope, inner) = message(part);
            let (envelope, inner) = (Box::new(envelope), Box::new(inner));
            Kind::Message { subtype, envelope, part: inner, lines: part.lines }
        }
        media => Kind::Other { kind: media.as_bytes().to_vec(), subtype },
    }
}

/// The parts of a multipart. One that is not looked into is shown as one text, for the grammar
/// wants a part, and BODY[1] has that content.
fn inside(part: &Part) -> Vec<response::Part> {
    match &part.inside {
        Inside::Multipart(parts) => parts.iter().map(of).collect(),
        Inside::Leaf | Inside::Message(_) => {
            vec![of(&Part::plain(part.header.clone(), part.body.clone()))]
        }
    }
}

/// The message inside a part. One that is not looked into (too deep, or encoded) is shown with an
/// empty envelope, for the grammar wants one.
fn message(part: &Part) -> (response::Envelope, response::Part) {
    match part.embedded() {
        Some(Embedded { fields, part }) => (envelope::of(fields), of(part)),
        None => {
            let end = part.body.end;
            let inner = Part::plain(part.body.start..part.body.start, end..end);
            (response::Envelope::default(), of(&inner))
        }
    }
}

fn params(params: &[Param]) -> Params {
    params.iter().map(|param| (param.name.clone().into_bytes(), param.value.clone())).collect()
}
