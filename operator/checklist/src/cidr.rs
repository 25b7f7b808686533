//! Address ranges a customer may name; pure, needs neither client nor clock.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use thiserror::Error;

/// An address range in CIDR form whose address is the first of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

/// Why a text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// The text is no address with a prefix length.
    #[error("is not an address range in CIDR form; write it like 203.0.113.0/24 or 2001:db8::/32")]
    Malformed,
    /// The prefix is longer than the address.
    #[error("has a prefix longer than {longest}; write at most /{longest}")]
    TooLong {
        /// Longest prefix for this kind of address.
        longest: u8,
    },
    /// An address inside the range was written where the range's first address belongs.
    #[error(
        "names an address inside the range; write {range} for the whole range or {address} for this one address"
    )]
    HostBits {
        /// The range it lies in.
        range: Cidr,
        /// The range of this one address.
        address: Cidr,
    },
    /// An IPv4 address written as IPv6, which gateways match against nothing.
    #[error("is an IPv4 range written as IPv6; write the IPv4 form")]
    Mapped,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(CidrError::Malformed)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError::Malformed)?;
        let plain =
            length.bytes().all(|b| b.is_ascii_digit()) && (length.len() == 1 || !length.starts_with('0'));
        let length: u16 = length.parse().ok().filter(|_| plain).ok_or(CidrError::Malformed)?;
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = u8::try_from(length)
            .ok()
            .filter(|length| *length <= longest)
            .ok_or(CidrError::TooLong { longest })?;
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(CidrError::Mapped);
        }
        let range = Self { address: first(address, length), length };
        if range.address != address {
            return Err(CidrError::HostBits { range, address: Self { address, length: longest } });
        }
        Ok(range)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// First address of the range that `address` lies in.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - length.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - length.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_in_one_form() {
        for (text, wanted) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1/128", "::1/128"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn everything_else_says_what_to_write() {
        for (text, part) in [
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("203.0.113.7/24", "203.0.113.7/32"),
            ("203.0.113.0/33", "at most /32"),
            ("::/129", "at most /128"),
            ("203.0.113.0", "CIDR form"),
            ("203.0.113.0/08", "CIDR form"),
            ("203.0.113/24", "CIDR form"),
            ("x/24", "CIDR form"),
            ("203.0.113.0/+8", "CIDR form"),
            ("203.0.113.0/", "CIDR form"),
            ("::ffff:10.0.0.0/104", "IPv4 form"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
