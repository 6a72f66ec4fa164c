//! How many connections each address has open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it.
const NETWORK_BITS: u32 = 64;

/// Addresses with open connections.
#[derive(Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// A place for one more connection of an address, unless it has `most` already.
    pub(super) fn place(&self, address: IpAddr, most: usize) -> Option<AddressPlace> {
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        open.insert(address, count + 1);
        Some(AddressPlace { addresses: self.clone(), address })
    }
}

/// A connection's place among those of its address; given back when dropped.
pub(super) struct AddressPlace {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// What one peer has to itself: an IPv4 address, or an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::default();
        let place = |text: &str| addresses.place(text.parse().expect("an address"), 2);
        let held = [place("10.0.0.1"), place("::ffff:10.0.0.1")];
        assert!(held.iter().all(Option::is_some), "one address, written in two ways");
        assert!(place("10.0.0.1").is_none());
        assert!(place("10.0.0.2").is_some(), "others are not concerned");
        let network = [place("2001:db8::1"), place("2001:db8::2")];
        assert!(network.iter().all(Option::is_some));
        assert!(place("2001:db8::3").is_none(), "a network is one peer");
        assert!(place("2001:db8:0:1::3").is_some());
        drop((held, network));
        assert!(place("10.0.0.1").is_some());
        assert!(addresses.0.lock().expect("no panic").is_empty(), "nothing is kept of whoever has left");
    }
}
