//! Secrets are taken out of a stream of output before any of it is kept or cut.
//!
//! What comes out does not depend on how the stream was cut into pieces: a byte is passed on only once it is known
//! not to begin a secret.

use punctual_core::spec::output::SECRET_BYTES_MIN;

/// What stands where a secret stood.
pub const REDACTED: &[u8] = b"[redacted]";
/// No more forms of secrets are looked for.
const FORMS_MAX: usize = 256;

/// Replaces the secrets of one stream.
#[derive(Debug)]
pub struct Redactor {
    /// The forms a secret may have, none twice, the longest first.
    forms: Vec<Vec<u8>>,
    /// Whether a form begins with this byte.
    begins: [bool; 256],
    /// What may begin a secret, and waits for what follows.
    carry: Vec<u8>,
    /// So many bytes at the front of the carry belong to a secret that was found.
    covered: usize,
}

impl Redactor {
    /// A redactor of these values, as they are and inside of Base64. `None` if there is nothing to look for.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
            forms.push(secret.as_bytes().to_vec());
            forms.extend(base64_forms(secret.as_bytes()));
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        forms.truncate(FORMS_MAX);
        if forms.is_empty() {
            return None;
        }
        let mut begins = [false; 256];
        for form in &forms {
            begins[usize::from(form[0])] = true;
        }
        Some(Self { forms, begins, carry: Vec::new(), covered: 0 })
    }

    /// Takes the next piece and adds to `out` what is known to be no part of a secret.
    pub fn redact(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.carry.is_empty() {
            let left = self.scan(piece, false, out);
            self.carry.extend_from_slice(&piece[left..]);
        } else {
            let mut bytes = std::mem::take(&mut self.carry);
            bytes.extend_from_slice(piece);
            let left = self.scan(&bytes, false, out);
            bytes.drain(..left);
            self.carry = bytes;
        }
    }

    /// The stream has ended: adds what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let bytes = std::mem::take(&mut self.carry);
        self.scan(&bytes, true, out);
    }

    /// Passes on what can be decided about `bytes`, and says up to where that was.
    fn scan(&mut self, bytes: &[u8], whole: bool, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        // Up to here it is secret.
        let mut covered = self.covered;
        let mut plain_from = covered.min(bytes.len());
        while at < bytes.len() {
            if !self.begins[usize::from(bytes[at])] {
                at += 1;
                continue;
            }
            let rest = &bytes[at..];
            if !whole && self.forms.iter().any(|form| form.len() > rest.len() && form.starts_with(rest)) {
                break;
            }
            if let Some(form) = self.forms.iter().find(|form| rest.starts_with(form)) {
                // A secret that begins inside of another makes one place of both.
                if at >= covered {
                    out.extend_from_slice(&bytes[plain_from..at]);
                    out.extend_from_slice(REDACTED);
                }
                covered = covered.max(at + form.len());
                plain_from = covered;
            }
            at += 1;
        }
        if plain_from < at {
            out.extend_from_slice(&bytes[plain_from..at]);
        }
        self.covered = covered.saturating_sub(at);
        at
    }
}

/// The characters that a value is sure to have in Base64 (both alphabets), at each of the three places it may have in
/// what is encoded. Those at its ends that depend on its neighbours are left out.
fn base64_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        for end in [b"+/", b"-_"] {
            let form = base64(&bytes, *end)[first..last].to_vec();
            if form.len() >= SECRET_BYTES_MIN {
                forms.push(form);
            }
        }
    }
    forms
}

/// Base64 without padding; `end` are the characters for 62 and 63.
fn base64(bytes: &[u8], end: [u8; 2]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let padded = [three[0], *three.get(1).unwrap_or(&0), *three.get(2).unwrap_or(&0)];
        let value = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..=three.len() {
            let digit = u8::try_from(value >> (18 - 6 * place) & 63).expect("six bits");
            text.push(match digit {
                0..=25 => b'A' + digit,
                26..=51 => b'a' + digit - 26,
                52..=61 => b'0' + digit - 52,
                _ => end[usize::from(digit - 62)],
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(secrets: &[&str], pieces: &[&[u8]]) -> Vec<u8> {
        let mut redactor = Redactor::new(secrets.iter().copied()).expect("there is something to look for");
        let mut out = Vec::new();
        for piece in pieces {
            redactor.redact(piece, &mut out);
        }
        redactor.finish(&mut out);
        out
    }

    fn text(secrets: &[&str], text: &str) -> String {
        String::from_utf8(redacted(secrets, &[text.as_bytes()])).expect("text stays text")
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_stands() {
        assert_eq!(text(&["hunter22"], "hunter22 a hunter22\nhunter2"), "[redacted] a [redacted]\nhunter2");
        assert_eq!(text(&["hunter22"], "hunterhunter22hunter22"), "hunter[redacted][redacted]");
        assert_eq!(text(&["abcd", "bcdefg"], "xabcdefgy"), "x[redacted]y");
        assert_eq!(text(&["abcd", "abcdefg"], "abcdefx abcdefg abc"), "[redacted]efx [redacted] abc");
        assert_eq!(text(&["aaaa"], "aaaaaaab"), "[redacted]b");
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(Redactor::new(["abc", ""]).is_none());
        assert!(Redactor::new([]).is_none());
    }

    #[test]
    fn base64_is_as_the_rfc_says() {
        for (plain, encoded) in
            [("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes(), *b"+/"), encoded.as_bytes());
        }
        assert_eq!(base64(&[0xff, 0xef], *b"-_"), b"_-8");
    }

    #[test]
    fn a_secret_is_found_inside_of_base64() {
        let secret = "s3cr3t-p\u{e4}ssword";
        for before in ["", "u", "us", "user:", "user:x"] {
            for end in [*b"+/", *b"-_"] {
                let encoded = base64(format!("{before}{secret}:more").as_bytes(), end);
                let out = redacted(&[secret], &[&encoded]);
                let out = String::from_utf8(out).expect("Base64 is text");
                assert!(out.contains("[redacted]"), "{before}: {out}");
                // Of the secret itself no more than the bits it shares with its neighbours are left.
                assert!(out.len() <= "[redacted]".len() + encoded.len() - secret.len() * 8 / 6 + 3, "{out}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            bytes in "[abc]{0,60}",
            secrets in proptest::collection::vec("[abc]{4,9}", 1..4),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes.as_bytes()[w[0]..w[1]]).collect();
            let out = redacted(&secrets, &pieces);
            prop_assert_eq!(&out, &redacted(&secrets, &[bytes.as_bytes()]));
            // A byte is passed on if and only if no secret covers it.
            let (mut expected, mut covered) = (Vec::new(), 0);
            for at in 0..bytes.len() {
                let found = secrets.iter().filter(|s| bytes[at..].starts_with(**s)).map(|s| s.len()).max();
                if let Some(length) = found {
                    if at >= covered {
                        expected.extend_from_slice(REDACTED);
                    }
                    covered = covered.max(at + length);
                }
                if at >= covered {
                    expected.push(bytes.as_bytes()[at]);
                }
            }
            prop_assert_eq!(out, expected);
        }
    }
}
