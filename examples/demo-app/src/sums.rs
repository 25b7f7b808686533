//! SHA-256 in hexadecimal, and lists of it as `sha256sum --check` reads them. Needs nothing.

use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A sum that is made piece by piece.
pub(crate) struct Sha256(Context);

/// Sums of files by their path, which has neither line feeds nor backslashes, because it is made of names.
pub(crate) type Sums = BTreeMap<String, String>;

// === impl Sha256 ===

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256 {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum, 64 hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        hexadecimal(self.0.finish().as_ref())
    }
}

/// The sum of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut sum = Sha256::default();
    sum.update(bytes);
    sum.finish()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible_for_a_string = write!(text, "{byte:02x}");
        text
    })
}

/// A list for `sha256sum --check`.
pub(crate) fn list(sums: &Sums) -> String {
    sums.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect()
}

/// Reads a list that [`list`] wrote, or the line that is none of such a list.
pub(crate) fn read_list(text: &str) -> Result<Sums, String> {
    let entry = |line: &str| {
        let (sum, path) = line.split_once("  ").ok_or_else(|| line.to_owned())?;
        let right = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        if right { Ok((path.to_owned(), sum.to_owned())) } else { Err(line.to_owned()) }
    };
    text.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let sums: Sums = [("b/k".to_owned(), sha256(b"abc")), ("a/k".to_owned(), sha256(b""))].into();
        assert_eq!(read_list(&list(&sums)), Ok(sums));
        assert_eq!(read_list("no sum  a/k"), Err("no sum  a/k".to_owned()));
    }
}
