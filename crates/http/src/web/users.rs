//! Who may read: user names, bcrypt hashes, and what clients send to prove who they are.

use super::fault::Fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use subtle::{Choice, ConstantTimeEq};

/// Costs that bcrypt allows.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// Salt and digest of a password that nobody knows.
const DECOY: &str = "abcdefghijklmnopqrstuuLrZ0qyGDr0ZpSc.1Hfo7nhx/FGNrkRu";

/// Users and the hashes of their passwords.
pub(crate) struct Users {
    hashes: HashMap<Vec<u8>, String>,
    decoy: String,
}

impl Users {
    /// # Arguments
    ///
    /// * `entries` - user name, bcrypt hash, and the line that they stand on.
    pub(crate) fn new(entries: &[(String, String, usize)]) -> Result<Users, Fault> {
        let mut hashes = HashMap::new();
        let mut dearest = 0;
        for (name, hash, line) in entries {
            let cost = hash.parse().ok().map(|parts: HashParts| parts.get_cost());
            match cost.filter(|cost| COSTS.contains(cost)) {
                Some(cost) => dearest = dearest.max(cost),
                None => {
                    return Err(Fault::at(
                        *line,
                        format!(
                            "the value of user {name:?} is no bcrypt hash; make one with \
                             `htpasswd -nBC 10 \"\" | tr -d ':\\n'`"
                        ),
                    ));
                }
            }
            hashes.insert(name.clone().into_bytes(), hash.clone());
        }
        Ok(Users {
            hashes,
            // As dear as the dearest, so that an unknown user takes as long to refuse. That hides
            // who exists as long as all hashes have the same cost, which is how people make them.
            decoy: format!("$2b${dearest:02}${DECOY}"),
        })
    }

    /// Whether nobody has to log in.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash to compare with, and whether a match lets in.
    pub(crate) fn hash(&self, user: &[u8]) -> (&str, bool) {
        match self.hashes.get(user) {
            Some(hash) => (hash, true),
            None => (&self.decoy, false),
        }
    }
}

/// What a client sent.
pub(crate) struct Credentials {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// Reads the `Authorization` header; `None` if there is none that says `Basic` and is
    /// well-formed (RFC 7617).
    pub(crate) fn read(headers: &HeaderMap) -> Option<Credentials> {
        const SCHEME: &[u8] = b"Basic ";
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, encoded) = value.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        Some(Credentials {
            user: decoded[..colon].to_vec(),
            password: decoded[colon + 1..].to_vec(),
        })
    }

    /// What stands for these credentials, checked against this hash, in [`Verified`].
    pub(crate) fn key(&self, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [&self.user, &self.password, hash.as_bytes()] {
            // With the lengths, so that no two triples run together to the same bytes.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// Credentials that were found right, so that a scrape does not cost a bcrypt each time.
///
/// A key has the stored hash in it: a changed password is not found any more.
#[derive(Default)]
pub(crate) struct Verified {
    keys: VecDeque<[u8; 32]>,
}

impl Verified {
    const MOST: usize = 64;

    /// Takes as long wherever a key differs, and whichever it is: how long must tell nothing about what is known.
    pub(crate) fn contains(&self, key: &[u8; 32]) -> bool {
        let mut found = Choice::from(0);
        for known in &self.keys {
            found |= known.ct_eq(key);
        }
        found.into()
    }

    pub(crate) fn insert(&mut self, key: [u8; 32]) {
        if self.contains(&key) {
            return;
        }
        if self.keys.len() >= Self::MOST {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Users, Verified};
    use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

    /// From the test vectors of crypt_blowfish, where it belongs to the password `U*U`.
    const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn users(hash: &str) -> Result<Users, super::Fault> {
        Users::new(&[("prometheus".to_owned(), hash.to_owned(), 7)])
    }

    fn read(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        Credentials::read(&headers).map(|read| (read.user, read.password))
    }

    #[test]
    fn a_hash_of_another_program_is_verified() {
        let users = users(HASH).unwrap();
        assert_eq!(users.hash(b"prometheus"), (HASH, true));
        assert!(bcrypt::verify("U*U", HASH).unwrap());
        assert!(!bcrypt::verify("U*U*", HASH).unwrap());
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        let users = users(HASH).unwrap();
        let (decoy, known) = users.hash(b"nobody");
        assert!(!known);
        assert!(decoy.starts_with("$2b$05$"), "{decoy}");
        // A malformed hash would be refused at once, and that would show.
        assert!(!bcrypt::verify("", decoy).unwrap());
    }

    #[test]
    fn what_is_no_hash_is_refused_with_its_line() {
        for hash in [
            "",
            "secret",
            "$2y$10$tooshort",
            &HASH.replace("$2a", "$1a"),
            &HASH.replace("$05", "$03"),
            &HASH.replace("$05", "$32"),
            &HASH.replace("$05", "$xx"),
        ] {
            let fault = users(hash).err().unwrap();
            assert_eq!(fault.line, Some(7), "{hash}");
            assert!(fault.message.contains("\"prometheus\""), "{hash}");
            assert!(hash.is_empty() || !fault.message.contains(hash));
        }
    }

    #[test]
    fn credentials_are_read_as_rfc_7617_says() {
        // The example of the RFC.
        let value = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        let aladdin = Some((b"Aladdin".to_vec(), b"open sesame".to_vec()));
        assert_eq!(read(value), aladdin);
        assert_eq!(read(b"bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        // a:b:c
        assert_eq!(
            read(b"Basic YTpiOmM="),
            Some((b"a".to_vec(), b"b:c".to_vec()))
        );
        for malformed in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"Basic nocolonhere",
            b"Basic bm9jb2xvbg==",
            b"Basic %%%%",
            b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            assert_eq!(read(malformed), None, "{malformed:?}");
        }
        assert!(Credentials::read(&HeaderMap::new()).is_none());
    }

    #[test]
    fn keys_tell_users_passwords_and_hashes_apart() {
        let key = |user: &str, password: &str, hash: &str| {
            Credentials {
                user: user.into(),
                password: password.into(),
            }
            .key(hash)
        };
        let one = key("ab", "c", "h");
        assert_eq!(one, key("ab", "c", "h"));
        for other in [
            key("a", "bc", "h"),
            key("ab", "ch", ""),
            key("ab", "c", "i"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_oldest_verified_credentials_are_forgotten_first() {
        let mut verified = Verified::default();
        for n in 0..100 {
            verified.insert([n; 32]);
            verified.insert([n; 32]);
        }
        assert!(verified.contains(&[99; 32]) && verified.contains(&[36; 32]));
        assert!(!verified.contains(&[35; 32]));
    }
}
