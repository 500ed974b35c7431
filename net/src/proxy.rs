//! PROXY protocol, version 2 (haproxy's `proxy-protocol.txt` §2.2): who a proxy of ours speaks
//! for. Version 1 is refused: a text header invites smuggling. Read only from configured
//! networks, and there required: a listener that took it or left it could be lied to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Peer, Via};

/// `\r\n\r\n\0\r\nQUIT\n`
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
/// Longest header body taken: addresses and all TLVs a sane proxy sends.
const BODY_BYTES_MAX: usize = 4096;
const TLV_CRC32C: u8 = 0x03;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The proxy itself connects (a health check): the socket's address is the peer's.
    Local,
    /// The proxy speaks for this client.
    Client(Peer),
}

/// Why a header is not one. The connection must be closed without a word.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It does not begin with the version 2 signature.
    #[error("no PROXY protocol v2 header")]
    Signature,
    /// A version other than 2, or an unknown command.
    #[error("unknown PROXY protocol version or command {0:#04x}")]
    Command(u8),
    /// Not TCP over IPv4 or IPv6.
    #[error("unsupported PROXY protocol address family {0:#04x}")]
    Family(u8),
    /// The body is longer than 4096 bytes, or shorter than its family's addresses.
    #[error("PROXY protocol header of {0} bytes")]
    Length(usize),
    /// The extensions after the addresses are malformed or their checksum is wrong.
    #[error("malformed PROXY protocol extension")]
    Extension,
    /// The connection ended or failed first.
    #[error("connection failed before its PROXY protocol header: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one header from `stream`, and not a byte more. The caller bounds the time.
/// # Errors
/// [`ProxyError`]: close the connection.
pub async fn read_proxy_header<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
) -> Result<Header, ProxyError> {
    let mut header = vec![0; FIXED_BYTES];
    stream.read_exact(&mut header).await?;
    let body = body_bytes(&header)?;
    header.resize(FIXED_BYTES + body, 0);
    if let Some(rest) = header.get_mut(FIXED_BYTES..) {
        stream.read_exact(rest).await?;
    }
    parse_proxy_header(&header)
}

/// Length of the body that the fixed part announces.
fn body_bytes(fixed: &[u8]) -> Result<usize, ProxyError> {
    if !fixed.starts_with(&SIGNATURE) {
        return Err(ProxyError::Signature);
    }
    let [.., high, low] = *fixed.get(..FIXED_BYTES).ok_or(ProxyError::Length(fixed.len()))? else {
        return Err(ProxyError::Length(fixed.len()));
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > BODY_BYTES_MAX { Err(ProxyError::Length(body)) } else { Ok(body) }
}

/// Parses one whole header, exactly.
/// # Errors
/// [`ProxyError`]: close the connection.
pub fn parse_proxy_header(header: &[u8]) -> Result<Header, ProxyError> {
    let length = body_bytes(header)?;
    let wrong_length = || ProxyError::Length(length);
    let (fixed, body) = header.split_at_checked(FIXED_BYTES).ok_or_else(wrong_length)?;
    if body.len() != length {
        return Err(wrong_length());
    }
    let [command, family] = *fixed.get(12..14).ok_or_else(wrong_length)? else {
        return Err(wrong_length());
    };
    let (client, extensions) = match (command, family) {
        // LOCAL: whatever follows is skipped, as the specification says.
        (0x20, _) => return Ok(Header::Local),
        (0x21, 0x11) => {
            let (addresses, rest) = body.split_first_chunk::<12>().ok_or_else(wrong_length)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            ((IpAddr::from(Ipv4Addr::new(a, b, c, d)), [high, low]), rest)
        }
        (0x21, 0x21) => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or_else(wrong_length)?;
            let (_, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong_length)?;
            let (ports, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong_length)?;
            let [high, low, _, _] = *ports;
            ((Ipv6Addr::from(*source).to_canonical(), [high, low]), rest)
        }
        (0x21, family) => return Err(ProxyError::Family(family)),
        (command, _) => return Err(ProxyError::Command(command)),
    };
    check_extensions(header, extensions)?;
    let (address, port) = client;
    let port = u16::from_be_bytes(port);
    Ok(Header::Client(Peer { address, port, via: Via::Proxy }))
}

/// TLVs must fill the rest exactly; a CRC-32C among them must be right (§2.2.3).
fn check_extensions(header: &[u8], mut rest: &[u8]) -> Result<(), ProxyError> {
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<3>().ok_or(ProxyError::Extension)?;
        let [kind, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = after.split_at_checked(length).ok_or(ProxyError::Extension)?;
        if kind == TLV_CRC32C {
            let told: [u8; 4] = value.try_into().map_err(|_| ProxyError::Extension)?;
            let at = header.len() - after.len() - 4;
            let mut zeroed = header.to_vec();
            if let Some(field) = zeroed.get_mut(at..at + 4) {
                field.fill(0);
            }
            if crc32c(&zeroed) != u32::from_be_bytes(told) {
                return Err(ProxyError::Extension);
            }
        }
        rest = after;
    }
    Ok(())
}

/// CRC-32C (Castagnoli), bit by bit: headers are short and few.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 25];

    fn v6(source: &str) -> Vec<u8> {
        let mut body = source.parse::<Ipv6Addr>().unwrap().octets().to_vec();
        body.extend([0; 16]);
        body.extend([0x12, 0x34, 0, 25]);
        body
    }

    fn client(bytes: &[u8]) -> Peer {
        match parse_proxy_header(bytes).unwrap() {
            Header::Client(peer) => peer,
            Header::Local => panic!("local"),
        }
    }

    #[test]
    fn clients_of_both_families_are_told() {
        let peer = client(&header(0x21, 0x11, &V4));
        assert_eq!(peer.to_string(), "203.0.113.7:4660");
        assert_eq!(peer.via, Via::Proxy);
        assert_eq!(
            client(&header(0x21, 0x21, &v6("2001:db8::9"))).to_string(),
            "[2001:db8::9]:4660"
        );
        let mapped = client(&header(0x21, 0x21, &v6("::ffff:192.0.2.1")));
        assert_eq!(mapped.address, IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn local_is_the_socket_itself() {
        assert_eq!(parse_proxy_header(&header(0x20, 0, &[])).unwrap(), Header::Local);
        assert_eq!(parse_proxy_header(&header(0x20, 0x11, &V4)).unwrap(), Header::Local);
    }

    #[test]
    fn crc_of_the_header_is_checked() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        let mut body = V4.to_vec();
        body.extend([TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
        let mut bytes = header(0x21, 0x11, &body);
        let sum = crc32c(&bytes);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(client(&bytes).port, 0x1234);
        bytes[at] ^= 1;
        assert!(matches!(parse_proxy_header(&bytes), Err(ProxyError::Extension)));
    }

    #[test]
    fn everything_else_is_refused() {
        let check = |bytes: &[u8]| assert!(parse_proxy_header(bytes).is_err(), "{bytes:?}");
        check(b"PROXY TCP4 203.0.113.7 10.0.0.1 4660 25\r\n");
        check(b"");
        check(&SIGNATURE);
        check(&header(0x11, 0x11, &V4));
        check(&header(0x22, 0x11, &V4));
        check(&header(0x21, 0x00, &V4));
        check(&header(0x21, 0x12, &V4));
        check(&header(0x21, 0x31, &[0; 216]));
        check(&header(0x21, 0x11, &V4[..11]));
        check(&header(0x21, 0x21, &V4));
        check(&header(0x21, 0x11, &[0; BODY_BYTES_MAX + 1]));
        let with = |tlv: &[u8]| header(0x21, 0x11, &[&V4, tlv].concat());
        check(&with(&[4]));
        check(&with(&[4, 0, 2, 0]));
        check(&with(&[TLV_CRC32C, 0, 1, 0]));
        let mut cut = header(0x21, 0x11, &V4);
        cut.pop();
        check(&cut);
        cut.extend([0, 0]);
        check(&cut);
    }

    #[tokio::test]
    async fn not_a_byte_more_is_read() {
        let bytes = [header(0x21, 0x11, &V4).as_slice(), b"EHLO"].concat();
        let mut stream = bytes.as_slice();
        assert!(matches!(read_proxy_header(&mut stream).await, Ok(Header::Client(_))));
        assert_eq!(stream, b"EHLO");
    }

    /// Whatever comes: a header, or an error, never a panic; and what is cut short is no header.
    #[test]
    fn mutated_headers_are_total() {
        let mut body = V4.to_vec();
        body.extend([TLV_CRC32C, 0, 4, 1, 2, 3, 4, 0x20, 0, 1, 9]);
        let good = [header(0x21, 0x11, &body), header(0x21, 0x21, &v6("2001:db8::9"))];
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap_or(0) % below
        };
        for _ in 0..20_000 {
            let mut bytes = good[random(2)].clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = u8::try_from(random(256)).unwrap();
            }
            let length = random(bytes.len() + 1);
            drop(parse_proxy_header(&bytes));
            if length < bytes.len() {
                assert!(parse_proxy_header(&bytes[..length]).is_err());
            }
        }
    }
}
