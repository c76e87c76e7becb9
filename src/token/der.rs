//! What little of DER has to be read here.

/// Modulus and exponent of an `RSAPublicKey` in DER (RFC 8017 appendix A.1.1): a sequence of two integers.
pub(crate) fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(0x30, der)?;
    let (modulus, rest) = element(0x02, sequence)?;
    let (exponent, _) = element(0x02, rest)?;
    // A leading zero says that the number is positive.
    let plain = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((modulus.get(plain(modulus)..)?, exponent.get(plain(exponent)..)?))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first.checked_sub(0x80) {
        None => (usize::from(*first), rest),
        Some(count) => {
            let (bytes, rest) = rest.split_at_checked(usize::from(count))?;
            let length = bytes.iter().try_fold(0_usize, |sum, byte| {
                sum.checked_mul(256).and_then(|sum| sum.checked_add(usize::from(*byte)))
            })?;
            (length, rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rsa_key_is_two_numbers() {
        let der = [0x30, 0x82, 0x00, 0x09, 0x02, 0x02, 0x00, 0xc1, 0x02, 0x03, 0x01, 0x00, 0x01];
        assert_eq!(rsa_numbers(&der), Some((&[0xc1][..], &[1, 0, 1][..])));
        assert_eq!(rsa_numbers(&der[..8]), None);
        assert_eq!(rsa_numbers(&[0x31, 0x00]), None);
    }
}
