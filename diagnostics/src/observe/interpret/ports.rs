//! Ports, and which two uses of one number conflict.
//!
//! A port is a number for one protocol at one address. A wildcard conflicts with every address of its family; the IPv6
//! wildcard also with every IPv4 address, unless the socket is IPv6-only.

use crate::observe::format::{Kind, ONLY_V6};
use crate::observe::log::Record;
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A port number at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    kind: ResourceKind,
    number: u16,
    address: IpAddr,
    only_v6: bool,
}

impl Port {
    /// Returns the port of a record.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        let address = if let Ok(bytes) = <[u8; 4]>::try_from(record.text) {
            Ipv4Addr::from(bytes).into()
        } else if let Ok(bytes) = <[u8; 16]>::try_from(record.text) {
            Ipv6Addr::from(bytes).to_canonical()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        Self {
            kind: if record.kind == Kind::BindUdp {
                ResourceKind::UdpPort
            } else {
                ResourceKind::Port
            },
            number: record.value as u16,
            address,
            only_v6: u64::from(record.value) & ONLY_V6 != 0,
        }
    }

    fn has_number_of(&self, other: &Self) -> bool {
        (self.kind, self.number) == (other.kind, other.number)
    }

    /// Returns the number of address families whose every address the port covers.
    fn width(&self) -> u8 {
        match (self.address.is_unspecified(), self.address) {
            (false, _) => 0,
            (true, IpAddr::V6(_)) if !self.only_v6 => 2,
            (true, _) => 1,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        let (narrow, wide) = if self.width() < other.width() {
            (self, other)
        } else {
            (other, self)
        };
        match wide.width() {
            _ if !wide.has_number_of(narrow) => false,
            0 => wide.address == narrow.address,
            1 => wide.address.is_ipv4() == narrow.address.is_ipv4(),
            _ => true,
        }
    }

    /// Returns whether the resource is this port or conflicts with it.
    pub(crate) fn is(&self, resource: &Resource) -> bool {
        let Some((number, address)) = parse(resource) else {
            return false;
        };
        (self.kind, self.number) == (resource.kind(), number)
            && address.is_none_or(|(address, only_v6)| {
                self.meets(&Self {
                    address,
                    only_v6,
                    ..*self
                })
            })
    }
}

/// Parses a port's name into its number and, if present, its address.
fn parse(resource: &Resource) -> Option<(u16, Option<(IpAddr, bool)>)> {
    let name = resource.as_str();
    let Some((address, number)) = name.rsplit_once(':') else {
        return Some((name.parse().ok()?, None));
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let only_v6 = address == ONLY;
    let address = if only_v6 { "::" } else { address };
    Some((number.parse().ok()?, Some((address.parse().ok()?, only_v6))))
}

/// The IPv6-only wildcard in a port's name.
const ONLY: &str = "::ipv6only";

/// Returns the number in a port's name.
pub(crate) fn number_of(resource: &Resource) -> Option<u16> {
    parse(resource).map(|(number, _)| number)
}

/// The ports that tests used.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    all: Vec<Port>,
    known: HashMap<Port, u32>,
}

impl Ports {
    pub(crate) fn number(&mut self, port: Port) -> u32 {
        let next = self.all.len() as u32;
        let number = *self.known.entry(port).or_insert(next);
        if number == next {
            self.all.push(port);
        }
        number
    }

    pub(crate) fn get(&self, number: u32) -> Port {
        self.all[number as usize]
    }

    /// Returns the ports that a use of this one counts for: itself, and the narrower ports it conflicts with. Any two
    /// conflicting ports then have one in common.
    pub(crate) fn met_by(&self, number: u32) -> impl Iterator<Item = u32> {
        let own = self.get(number);
        let narrower = (0..).zip(&self.all).filter_map(move |(other, port)| {
            let is_narrower = port.width() < own.width() && port.meets(&own);
            is_narrower.then_some(other)
        });
        std::iter::once(number).chain(narrower)
    }

    /// Returns the port as a resource, with its address if not all uses of its number conflict.
    pub(crate) fn resource(&self, number: u32) -> Resource {
        let port = self.get(number);
        let alike: Vec<&Port> = self
            .all
            .iter()
            .filter(|other| other.has_number_of(&port))
            .collect();
        let all_meet = alike.iter().all(|a| alike.iter().all(|b| a.meets(b)));
        let name = match port.address {
            _ if all_meet => port.number.to_string(),
            IpAddr::V4(address) => format!("{address}:{}", port.number),
            IpAddr::V6(_) if port.only_v6 => format!("[{ONLY}]:{}", port.number),
            IpAddr::V6(address) => format!("[{address}]:{}", port.number),
        };
        Resource::new(port.kind, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;

    /// A port by protocol and address; `*` is the wildcard of IPv6 alone.
    fn port(kind: Kind, address: &str) -> Port {
        let only = if address == "*" { ONLY_V6 } else { 0 };
        let address: IpAddr = address.replace('*', "::").parse().unwrap();
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let mut made = LogBuilder::new(1, 1, true);
        made.bytes(1, 1, kind, only | 80, &bytes);
        let log = made.log();
        let record = log.records().next().unwrap();
        Port::of(&record)
    }

    #[test]
    fn ports_conflict_by_protocol_family_and_wildcard() {
        let tcp = |address: &str| port(Kind::BindTcp, address);
        for (a, b, meet) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.0.0.1", "::1", false),
            ("127.0.0.1", "::", true),
            ("127.0.0.1", "*", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("0.0.0.0", "::", true),
            ("0.0.0.0", "*", false),
            ("::1", "::", true),
            ("::1", "*", true),
            ("::", "*", true),
        ] {
            assert_eq!(tcp(a).meets(&tcp(b)), meet, "{a} {b}");
            assert_eq!(tcp(b).meets(&tcp(a)), meet, "{b} {a}");
            assert!(!tcp(a).meets(&port(Kind::BindUdp, b)), "{a} {b}");
            // Whoever meets has something in common, and nobody else has.
            let mut ports = Ports::default();
            let (a, b) = (ports.number(tcp(a)), ports.number(tcp(b)));
            let of_b: Vec<u32> = ports.met_by(b).collect();
            let common: Vec<u32> = ports.met_by(a).filter(|one| of_b.contains(one)).collect();
            assert_eq!(!common.is_empty(), meet, "{ports:?}");
        }
    }

    #[test]
    fn a_name_includes_the_address_if_not_all_uses_of_its_number_conflict() {
        for (kind, addresses, names) in [
            (
                Kind::BindTcp,
                &["127.0.0.1", "0.0.0.0"][..],
                &["port 80", "port 80"][..],
            ),
            (
                Kind::BindUdp,
                &["127.0.0.1", "::1"],
                &["UDP port 127.0.0.1:80", "UDP port [::1]:80"],
            ),
            (
                Kind::BindTcp,
                &["0.0.0.0", "*"],
                &["port 0.0.0.0:80", "port [::ipv6only]:80"],
            ),
        ] {
            let mut ports = Ports::default();
            for address in addresses {
                ports.number(port(kind, address));
            }
            let found: Vec<Resource> = (0..).zip(addresses).map(|(at, _)| ports.resource(at)).collect();
            assert_eq!(found.iter().map(Resource::to_string).collect::<Vec<_>>(), names);
            for (number, resource) in (0..).zip(&found) {
                assert_eq!(number_of(resource), Some(80));
                for other in 0..addresses.len() as u32 {
                    let meets = ports.get(number).meets(&ports.get(other));
                    assert_eq!(ports.get(other).is(resource), meets, "{resource} {other}");
                }
            }
        }
        assert!(port(Kind::ConnectTcp, "::1").is(&Resource::port(80)));
        assert!(!port(Kind::ConnectTcp, "::1").is(&Resource::port(81)));
        assert!(!port(Kind::BindUdp, "::1").is(&Resource::port(80)));
    }
}
