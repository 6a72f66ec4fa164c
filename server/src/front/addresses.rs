//! The connections of each address.

use crate::admission::{Activity, Party};
use crate::config::Limits;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it.
const NETWORK_BITS: u32 = 64;
/// How long a connection has been of no use before it is closed to make room: a new one is about to ask for something.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// Addresses with open connections, and those whose requests have outlived them.
#[derive(Clone)]
pub(super) struct Addresses {
    limits: Arc<Limits>,
    all: Arc<Mutex<All>>,
}

#[derive(Default)]
struct All {
    open: HashMap<IpAddr, Address>,
    /// Whoever comes back finds what its requests still hold, and no fresh share.
    left: HashMap<IpAddr, Weak<Party>>,
}

impl All {
    /// The entry of an address of which a connection has come.
    fn entry(&mut self, address: IpAddr, limits: &Limits) -> &mut Address {
        let left = &mut self.left;
        self.open.entry(address).or_insert_with(|| {
            let party = left.remove(&address).and_then(|party| party.upgrade());
            // There are no more of them than requests in flight.
            left.retain(|_, party| party.strong_count() > 0);
            Address { party: party.unwrap_or_else(|| Arc::new(Party::address(limits))), open: Vec::new() }
        })
    }
}

/// An address, and what happens on its connections.
struct Address {
    party: Arc<Party>,
    open: Vec<Arc<Activity>>,
}

impl Addresses {
    /// Of a server with these bounds.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits: Arc::new(limits), all: Arc::default() }
    }

    /// A place for one more connection of an address, unless it has `most` already.
    pub(super) fn place(
        &self,
        address: IpAddr,
        activity: &Arc<Activity>,
        most: usize,
    ) -> Option<AddressPlace> {
        let address = network(address);
        let mut all = self.lock();
        let open = all.entry(address, &self.limits);
        if open.open.len() >= most {
            return None;
        }
        open.open.push(activity.clone());
        let (addresses, activity, party) = (self.clone(), activity.clone(), open.party.clone());
        Some(AddressPlace { addresses, address, activity, party })
    }

    /// Closes a connection that is of no use to anybody: of the address that has most of them, the one that has been so for
    /// longest; never `newcomer`, for which there is no place yet.
    pub(super) fn close_one(&self, newcomer: Option<&Arc<Activity>>) {
        let all = self.lock();
        let is_in =
            |activity: &&Arc<Activity>| newcomer.is_none_or(|newcomer| !Arc::ptr_eq(activity, newcomer));
        let idle = all.open.values().filter_map(|address| {
            let open = address.open.iter().filter(is_in);
            let idle = open.filter_map(|activity| Some((activity.idle()?, activity)));
            let (time, activity) = idle.max_by_key(|(time, _)| *time)?;
            (time >= IDLE_MIN).then_some((address.open.len(), time, activity))
        });
        if let Some((_, _, activity)) = idle.min_by_key(|(count, time, _)| (Reverse(*count), Reverse(*time)))
        {
            tracing::debug!("an idle connection is closed to make room for a new one");
            activity.closed().cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those of its address; given back when dropped.
pub(super) struct AddressPlace {
    addresses: Addresses,
    address: IpAddr,
    activity: Arc<Activity>,
    party: Arc<Party>,
}

impl AddressPlace {
    /// The address.
    pub(super) fn party(&self) -> &Arc<Party> {
        &self.party
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut all = self.addresses.lock();
        let Some(address) = all.open.get_mut(&self.address) else { return };
        address.open.retain(|activity| !Arc::ptr_eq(activity, &self.activity));
        if address.open.is_empty() {
            all.open.remove(&self.address);
            if Arc::strong_count(&self.party) > 1 {
                all.left.insert(self.address, Arc::downgrade(&self.party));
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
        let addresses = Addresses::new(Limits::default());
        let place = |text: &str| addresses.place(text.parse().expect("an address"), &Activity::new(), 2);
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
        let all = addresses.lock();
        assert!(all.open.is_empty() && all.left.is_empty(), "nothing is kept of whoever has left");
    }

    #[test]
    fn an_address_that_comes_back_has_the_share_that_its_requests_hold() {
        let addresses = Addresses::new(Limits::default());
        let place = |text: &str| {
            let place = addresses.place(text.parse().expect("an address"), &Activity::new(), 2);
            place.expect("there is room")
        };
        let first = place("10.0.0.1");
        let request = first.party().clone();
        drop(first);
        let again = place("10.0.0.1");
        assert!(Arc::ptr_eq(again.party(), &request));
        drop((again, request));
        drop(place("10.0.0.2"));
        assert!(addresses.lock().left.is_empty(), "nothing is held of it any more");
    }

    #[test]
    fn room_is_made_at_the_cost_of_whoever_has_most() {
        let addresses = Addresses::new(Limits::default());
        let long_ago = |seconds| Activity::idle_for(Duration::from_secs(seconds));
        let open = [
            ("10.0.0.1", long_ago(9)),
            ("10.0.0.2", long_ago(2)),
            ("10.0.0.2", long_ago(3)),
            ("10.0.0.3", Activity::new()),
        ];
        let _places = open.each_ref().map(|(address, activity)| {
            addresses.place(address.parse().expect("an address"), activity, 9).expect("there is room")
        });
        let closed = || open.each_ref().map(|(_, activity)| activity.closed().is_cancelled());
        addresses.close_one(None);
        assert_eq!(closed(), [false, false, true, false], "the oldest of two");
        addresses.close_one(None);
        assert_eq!(closed(), [false, true, true, false], "the first of them is on its way out");
        addresses.close_one(None);
        addresses.close_one(None);
        assert_eq!(closed(), [true, true, true, false], "and none that has only come");
        let newcomer = long_ago(5);
        let _place = addresses.place("10.0.0.4".parse().expect("an address"), &newcomer, 9);
        addresses.close_one(Some(&newcomer));
        assert!(!newcomer.closed().is_cancelled(), "it waits for the room that is made");
        addresses.close_one(None);
        assert!(newcomer.closed().is_cancelled());
    }
}
