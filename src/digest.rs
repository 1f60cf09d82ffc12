//! The one digest: SHA-256, as everything that stands for a text has it.

/// The SHA-256 of a text or other bytes, in hexadecimal.
pub fn sha256(bytes: &(impl AsRef<[u8]> + ?Sized)) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes.as_ref());
    let bytes = digest.as_ref();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
