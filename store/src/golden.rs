//! Golden files: stored bytes that every later version reads as this one does. Each section has a
//! title, a dump, and what the bytes mean. `BLESS=1` writes them anew; a change of what is there
//! already is a new format version.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Bytes of a stored form, and what they mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) meaning: String,
}

impl Section {
    pub(crate) fn new(
        title: impl Into<String>,
        bytes: &[u8],
        meaning: &impl std::fmt::Debug,
    ) -> Self {
        Self { title: title.into(), bytes: bytes.to_vec(), meaning: format!("{meaning:?}") }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, bytes, meaning } in sections {
        writeln!(text, "== {title}: {} bytes", bytes.len()).unwrap();
        for (line, bytes) in bytes.chunks(16).enumerate() {
            let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
            let shown: String = bytes.iter().map(shown).collect();
            writeln!(text, "{:06x}  {:<47}  {shown}", line * 16, hex.join(" ")).unwrap();
        }
        writeln!(text, "--\n{meaning}\n").unwrap();
    }
    text
}

fn parse(text: &str) -> Vec<Section> {
    let section = |part: &str| {
        let (head, rest) = part.split_once('\n').unwrap();
        let (dump, meaning) = rest.split_once("--\n").unwrap();
        let byte = |hex: &str| u8::from_str_radix(hex, 16).unwrap();
        let bytes =
            dump.lines().flat_map(|line| line[8..55].split_whitespace().map(byte)).collect();
        let (title, _) = head.rsplit_once(": ").unwrap();
        Section { title: title.to_owned(), bytes, meaning: meaning.trim_end().to_owned() }
    };
    text.split("== ").skip(1).map(section).collect()
}

/// Compares with the golden file, or writes it if blessed; then reads each section of the file with
/// `decode`, which gives what the bytes mean to this version.
pub(crate) fn check(name: &str, sections: &[Section], decode: impl Fn(&str, &[u8]) -> String) {
    let path = path(name);
    let now = text(sections);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for section in parse(&golden) {
        assert_eq!(decode(&section.title, &section.bytes), section.meaning, "{}", section.title);
    }
    assert!(golden == now, "golden/{name} is not what is written now; see its difference");
}
