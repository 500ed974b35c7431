//! HEADER.FIELDS and HEADER.FIELDS.NOT: some fields of a header, as they stand in it
//! (RFC 9051 §6.4.5.1).

use mail::header;
use mail::summary::Field;

/// The fields of `header` with one of these names (or, `not`, with none of them), in their order,
/// with their folds, and a blank line. Lines that are no fields belong to no name.
pub(crate) fn select(header: &[u8], names: &[Vec<u8>], not: bool) -> Vec<u8> {
    let mut selected = Vec::new();
    for field in header::fields(header) {
        let named = names.iter().any(|name| name.eq_ignore_ascii_case(field.name));
        if named != not {
            put_field(&mut selected, header.get(field.range).unwrap_or_default());
        }
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

/// Likewise from a summary's listed fields.
pub(crate) fn select_listed(fields: &[Field], names: &[Vec<u8>]) -> Vec<u8> {
    let mut selected = Vec::new();
    for field in fields {
        let called = field.name.as_str().as_bytes();
        if names.iter().any(|name| name.eq_ignore_ascii_case(called)) {
            put_field(&mut selected, &field.raw);
        }
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

/// A header that ends without a line end still gives whole lines.
fn put_field(selected: &mut Vec<u8>, raw: &[u8]) {
    selected.extend_from_slice(raw);
    if !raw.ends_with(b"\n") {
        selected.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use mail::summary::FieldName;

    use super::*;

    fn check(header: &str, names: &[&str], not: bool, expected: &str) {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let selected = select(header.as_bytes(), &names, not);
        assert_eq!(String::from_utf8_lossy(&selected), expected);
    }

    #[test]
    fn fields_are_selected_by_name_with_their_folds() {
        let header = "From: a\r\nTO: b,\r\n c\r\nX : y\r\nfrom: d\r\nno field\r\n\r\nbody: z\r\n";
        check(header, &["from"], false, "From: a\r\nfrom: d\r\n\r\n");
        check(header, &["To", "x"], false, "TO: b,\r\n c\r\nX : y\r\n\r\n");
        check(header, &["none"], false, "\r\n");
        check(header, &["from", "to"], true, "X : y\r\nno field\r\n\r\n");
        check("A: b", &["a"], false, "A: b\r\n\r\n");
    }

    #[test]
    fn listed_fields_are_selected_alike() {
        let field = |name, raw: &str| Field { name, raw: raw.into() };
        let fields =
            [field(FieldName::To, "To: x\r\n"), field(FieldName::From, "FROM: y\r\n z\r\n")];
        let selected = select_listed(&fields, &[b"fRoM".to_vec(), b"cc".to_vec()]);
        assert_eq!(selected, b"FROM: y\r\n z\r\n\r\n");
    }
}
