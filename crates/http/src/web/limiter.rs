//! How often something may happen: requests in all, failed logins by address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// A token every `interval`, and at most `burst` of them saved up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
}

/// The tokens of one rate. A new bucket is full.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    state: Option<(f64, Instant)>,
}

impl Bucket {
    fn tokens(&self, rate: Rate, now: Instant) -> f64 {
        let burst = f64::from(rate.burst);
        let Some((tokens, then)) = self.state else {
            return burst;
        };
        let gained =
            now.saturating_duration_since(then).as_secs_f64() / rate.interval.as_secs_f64();
        (tokens + gained).min(burst)
    }

    /// Takes a token, or says how long it takes for the next one to be there.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let tokens = self.tokens(rate, now);
        if tokens < 1.0 {
            return Err(rate.interval.mul_f64(1.0 - tokens));
        }
        self.state = Some((tokens - 1.0, now));
        Ok(())
    }

    fn give_back(&mut self) {
        if let Some((tokens, _)) = &mut self.state {
            *tokens += 1.0;
        }
    }
}

/// Attempts to log in that were not known to be right beforehand, by remote address and a part of all user names.
///
/// Behind one address there may be many, a proxy's clients for instance: who guesses at one name leaves most other names
/// their attempts. Parts instead of names bound what one address may try, and an attempt that is left tells nobody
/// whether the name exists.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    buckets: HashMap<Who, Bucket>,
    /// With a seed of this process's own, so that nobody can choose a name for its part.
    parts: RandomState,
}

/// An address, and a part of all names.
type Who = (IpAddr, u64);

impl Attempts {
    /// Ten mistakes at once, then one every five seconds: nobody mistypes more, and nobody
    /// guesses a password at that speed.
    pub(crate) const RATE: Rate = Rate {
        interval: Duration::from_secs(5),
        burst: 10,
    };

    /// Parts of all names.
    const PARTS: u64 = 16;

    /// Buckets remembered at most.
    const MOST: usize = 4096;

    fn who(&self, remote: IpAddr, user: &[u8]) -> Who {
        (network(remote), self.parts.hash_one(user) % Self::PARTS)
    }

    /// Takes an attempt at a name from an address, or says how long it has to wait for one.
    pub(crate) fn take(
        &mut self,
        remote: IpAddr,
        user: &[u8],
        now: Instant,
    ) -> Result<(), Duration> {
        let who = self.who(remote, user);
        if !self.buckets.contains_key(&who) && self.buckets.len() >= Self::MOST {
            self.forget(now);
        }
        self.buckets.entry(who).or_default().take(Self::RATE, now)
    }

    /// The attempt was none at guessing.
    pub(crate) fn give_back(&mut self, remote: IpAddr, user: &[u8]) {
        let who = self.who(remote, user);
        if let Some(bucket) = self.buckets.get_mut(&who) {
            bucket.give_back();
        }
    }

    /// Makes room: those who have all their attempts back go, or whoever has most of them.
    fn forget(&mut self, now: Instant) {
        let full = f64::from(Self::RATE.burst);
        let tokens = |bucket: &Bucket| bucket.tokens(Self::RATE, now);
        self.buckets.retain(|_, bucket| tokens(bucket) < full);
        if self.buckets.len() < Self::MOST {
            return;
        }
        let most = self
            .buckets
            .iter()
            .max_by(|(_, a), (_, b)| tokens(a).total_cmp(&tokens(b)))
            .map(|(who, _)| *who);
        if let Some(who) = most {
            self.buckets.remove(&who);
        }
    }
}

/// What counts as one client: an IPv4 address, or the 64 bits of an IPv6 one that say whose
/// network it is, for within it everybody has as many addresses as they like.
pub(crate) fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempts, Bucket, Rate};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    const ANN: &[u8] = b"ann";

    #[test]
    fn a_burst_then_one_each_interval() {
        let rate = Rate {
            interval: Duration::from_secs(2),
            burst: 3,
        };
        let start = Instant::now();
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        assert_eq!(bucket.take(rate, start), Err(Duration::from_secs(2)));
        let later = start + Duration::from_secs(1);
        assert_eq!(bucket.take(rate, later), Err(Duration::from_secs(1)));
        let later = start + Duration::from_secs(2);
        assert_eq!(bucket.take(rate, later), Ok(()));
        // However long the wait, no more than the burst is saved up.
        let later = start + Duration::from_secs(1000);
        let taken = (0..10).filter(|_| bucket.take(rate, later).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn one_address_does_not_use_up_another_s_attempts() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let taken = (0..50).filter(|_| attempts.take(a, ANN, now).is_ok());
        assert_eq!(taken.count(), 10);
        assert_eq!(attempts.take(b, ANN, now), Ok(()));
        attempts.give_back(a, ANN);
        assert_eq!(attempts.take(a, ANN, now), Ok(()));
        assert!(attempts.take(a, ANN, now).is_err());
    }

    #[test]
    fn guesses_at_a_name_leave_others_behind_the_address_their_attempts() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let names: Vec<String> = (0..1000).map(|n| format!("user-{n}")).collect();
        while attempts.take(address, ANN, now).is_ok() {}
        let mut held_up = 0;
        for name in &names {
            match attempts.take(address, name.as_bytes(), now) {
                Ok(()) => attempts.give_back(address, name.as_bytes()),
                Err(_) => held_up += 1,
            }
        }
        // One in sixteen, give or take ten standard deviations of 7.7.
        assert!((1..140).contains(&held_up), "{held_up} of 1000");
        // And whatever the names, an address has so many attempts and no more.
        let mut taken = 0;
        for name in names.iter().cycle().take(10_000) {
            taken += usize::from(attempts.take(address, name.as_bytes(), now).is_ok());
        }
        assert_eq!(taken, 15 * 10);
        // Nobody is held up for longer than the next attempt takes to come.
        let later = now + Attempts::RATE.interval;
        assert_eq!(attempts.take(address, ANN, later), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_mapped_address_is_ipv4() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for n in 0..10 {
            assert_eq!(
                attempts.take(ip(&format!("2001:db8::{n}")), ANN, now),
                Ok(())
            );
        }
        assert!(attempts.take(ip("2001:db8::ffff"), ANN, now).is_err());
        assert!(attempts.take(ip("2001:db8:0:1::1"), ANN, now).is_ok());
        assert!(attempts.take(ip("::ffff:192.0.2.1"), ANN, now).is_ok());
        let addresses: Vec<IpAddr> = attempts.buckets.keys().map(|(ip, _)| *ip).collect();
        assert!(addresses.contains(&ip("192.0.2.1")), "{addresses:?}");
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_those_who_fail_most() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        let guesser: IpAddr = "192.0.2.1".parse().unwrap();
        while attempts.take(guesser, ANN, now).is_ok() {}
        for n in 0..10_000_u32 {
            let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
            assert_eq!(attempts.take(ip, ANN, now), Ok(()));
        }
        assert!(attempts.buckets.len() <= Attempts::MOST);
        assert!(attempts.take(guesser, ANN, now).is_err());
    }
}
