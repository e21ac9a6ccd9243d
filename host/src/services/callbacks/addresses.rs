//! Which addresses anybody may reach, and which belong to a machine or a network alone. Asks nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address of it, and how many bits all of it share.
type Net<A> = (A, u32);

/// What is not public, as IANA's registry of special-purpose addresses has it.
const NOT_PUBLIC_V4: [Net<Ipv4Addr>; 16] = [
    // This network.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by a carrier's customers.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // This machine.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local: clouds keep their machines' credentials there.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Private.
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Assigned by protocols.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Private.
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // Documentation.
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, and broadcast.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // Cloud platforms answer their own machines here, though it looks like any other address.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// All that is public has these bits; loopback, link-local, unique-local and multicast have others.
const GLOBAL_V6: Net<Ipv6Addr> = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is not public of that.
const NOT_PUBLIC_V6: [Net<Ipv6Addr>; 3] = [
    // Assigned by protocols: Teredo, benchmarks, identifiers that are no places.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Other clothes of an address of version 4, and how many bits follow it.
const CARRIES_V4: [(Net<Ipv6Addr>, u32); 3] = [
    // IPv4-mapped.
    ((Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), 0),
    // NAT64.
    ((Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), 0),
    // 6to4.
    ((Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), 80),
];

/// Whether anybody may reach this address, so that being told there tells nobody what only we could reach.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => is_public_v4(carried),
            None => {
                let is_in = |net: Net<Ipv6Addr>| is_in_v6(address, net);
                is_in(GLOBAL_V6) && !NOT_PUBLIC_V6.into_iter().any(is_in)
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in = |(net, length): Net<Ipv4Addr>| {
        let differ = address.to_bits() ^ net.to_bits();
        differ.leading_zeros() >= length
    };
    !NOT_PUBLIC_V4.into_iter().any(is_in)
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let mut clothes = CARRIES_V4.into_iter();
    let (_, after) = clothes.find(|(net, _)| is_in_v6(address, *net))?;
    let bits = (address.to_bits() >> after) & u128::from(u32::MAX);
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

fn is_in_v6(address: Ipv6Addr, (net, length): Net<Ipv6Addr>) -> bool {
    let differ = address.to_bits() ^ net.to_bits();
    differ.leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with its neighbours outside, where they are public.
    #[test]
    fn addresses_that_only_some_reach_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.255",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::7f00:1",
            "::808:808",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:0:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2002:c0a8:101::5",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_public() {
        for text in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
