//! The subject alternative names of a certificate (RFC 5280, 4.2.1.6).
//!
//! Rustls checks certificates but does not say which names they have. This reads just enough DER
//! to find them; whatever it does not understand has no names, so that it is not let in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// The extensions in the part of a certificate that is signed.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// The names of DNS, IP, e-mail and URI kind, in their order.
pub(crate) fn names(certificate: &[u8]) -> Vec<String> {
    find(certificate).unwrap_or_default()
}

fn find(certificate: &[u8]) -> Option<Vec<String>> {
    let mut outer = certificate;
    let mut certificate = take(&mut outer, SEQUENCE)?;
    let mut signed = take(&mut certificate, SEQUENCE)?;
    let mut wrapped = loop {
        let (tag, content) = next(&mut signed)?;
        if tag == EXTENSIONS {
            break content;
        }
    };
    let mut extensions = take(&mut wrapped, SEQUENCE)?;
    loop {
        let mut extension = take(&mut extensions, SEQUENCE)?;
        if take(&mut extension, OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        let (mut tag, mut content) = next(&mut extension)?;
        // Whether the extension is critical may stand before its value.
        if tag != OCTET_STRING {
            (tag, content) = next(&mut extension)?;
        }
        return match tag {
            OCTET_STRING => general_names(content),
            _ => None,
        };
    }
}

fn general_names(mut value: &[u8]) -> Option<Vec<String>> {
    let mut rest = take(&mut value, SEQUENCE)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (tag, content) = next(&mut rest)?;
        match tag {
            EMAIL | DNS | URI => names.push(String::from_utf8(content.to_vec()).ok()?),
            IP => names.push(address(content)?.to_canonical().to_string()),
            _ => {}
        }
    }
    Some(names)
}

fn address(content: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(content) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    let v6 = <[u8; 16]>::try_from(content).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(v6)))
}

/// The content of the next element, which must have this tag.
fn take<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let (tag, content) = next(rest)?;
    (tag == wanted).then_some(content)
}

/// Tag and content of the next element.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, mut after) = after.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        // Four bytes of length are more than any certificate has.
        0x81..=0x84 => {
            let (bytes, more) = after.split_at_checked(usize::from(first & 0x7f))?;
            after = more;
            bytes.iter().fold(0, |n, &byte| n << 8 | usize::from(byte))
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, content))
}

#[cfg(test)]
mod tests {
    use super::names;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(sans: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn all_four_kinds_of_names_are_read() {
        let der = certificate(vec![
            SanType::DnsName("prometheus.example".try_into().unwrap()),
            SanType::Rfc822Name("ops@example.org".try_into().unwrap()),
            SanType::URI("spiffe://example/prometheus".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
            // Makes the extension longer than a length of one byte can say.
            SanType::DnsName("x".repeat(60).try_into().unwrap()),
            SanType::DnsName("y".repeat(60).try_into().unwrap()),
        ]);
        let found = names(&der);
        assert_eq!(
            found[..5],
            [
                "prometheus.example",
                "ops@example.org",
                "spiffe://example/prometheus",
                "192.0.2.7",
                "2001:db8::7"
            ]
        );
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn without_names_there_are_none() {
        assert!(names(&certificate(Vec::new())).is_empty());
        assert!(names(b"").is_empty());
        assert!(names(b"no certificate at all").is_empty());
    }

    /// Every cut and every changed byte of a real certificate: no panic, nothing out of bounds.
    #[test]
    fn damaged_certificates_do_no_harm() {
        let der = certificate(vec![SanType::DnsName("a.example".try_into().unwrap())]);
        for length in 0..der.len() {
            assert!(names(&der[..length]).is_empty());
        }
        for at in 0..der.len() {
            let mut damaged = der.clone();
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                damaged[at] = byte;
                let _ = names(&damaged);
            }
        }
    }
}
