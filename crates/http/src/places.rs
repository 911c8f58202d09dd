//! The places that connections take, and who gives theirs up when all are taken.

use crate::server::Counters;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a TLS handshake takes on a busy machine, some way between the two ends included.
const HANDSHAKE: Duration = Duration::from_millis(250);

/// All places of a server. They live on its thread, so that cells are enough.
pub(crate) struct Places {
    most: usize,
    taken: RefCell<Vec<Rc<Place>>>,
    counters: Arc<Counters>,
}

/// The place of one connection.
pub(crate) struct Place {
    client: IpAddr,
    waiting: Cell<Option<Instant>>,
    lost: Notify,
}

impl Place {
    fn new(client: IpAddr) -> Place {
        Place {
            client,
            waiting: Cell::new(Some(Instant::now())),
            lost: Notify::new(),
        }
    }

    /// From now on the client is waited for.
    pub(crate) fn waits(&self) {
        self.waiting.set(Some(Instant::now()));
    }

    /// The client has taken up a handshake: it is waited for, but until that takes long, whoever does nothing goes first.
    pub(crate) fn shakes(&self) {
        self.waiting.set(Some(Instant::now() + HANDSHAKE));
    }

    /// From now on the client waits for us: it keeps its place.
    pub(crate) fn works(&self) {
        self.waiting.set(None);
    }

    /// Returns when the place is somebody else's.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Places {
    pub(crate) fn new(most: usize, counters: Arc<Counters>) -> Places {
        Places {
            most,
            taken: RefCell::default(),
            counters,
        }
    }

    /// A place for a client, if need be that of a connection that is waited for. `None`, and the rejection is counted, if
    /// all others are being answered.
    pub(crate) fn take(self: &Rc<Self>, client: IpAddr) -> Option<Taken> {
        let mut taken = self.taken.borrow_mut();
        if taken.len() >= self.most {
            let Some(loser) = loser(&taken) else {
                let rejected = &self.counters.rejected_connections;
                rejected.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            taken.swap_remove(loser).lost.notify_one();
            let displaced = &self.counters.displaced_connections;
            displaced.fetch_add(1, Ordering::Relaxed);
        }
        let place = Rc::new(Place::new(client));
        taken.push(Rc::clone(&place));
        let open = &self.counters.open_connections;
        open.fetch_add(1, Ordering::Relaxed);
        Some(Taken {
            places: Rc::clone(self),
            place,
        })
    }
}

/// Who loses a place: of the client that holds most of them, the connection that is waited for longest. So whoever opens
/// many of them takes places from themselves, and whoever sends a request when it has connected is answered.
fn loser(taken: &[Rc<Place>]) -> Option<usize> {
    let mut held: HashMap<IpAddr, usize> = HashMap::new();
    for place in taken {
        *held.entry(place.client).or_default() += 1;
    }
    let mut loser: Option<(usize, usize, Instant)> = None;
    for (nth, place) in taken.iter().enumerate() {
        let Some(since) = place.waiting.get() else {
            continue;
        };
        let held = held.get(&place.client).copied().unwrap_or_default();
        if loser.is_none_or(|(_, most, first)| (held, first) > (most, since)) {
            loser = Some((nth, held, since));
        }
    }
    loser.map(|(nth, ..)| nth)
}

/// A place for as long as it is kept. What was lost to another one is gone from the list already, yet counted as open
/// until the connection is closed.
pub(crate) struct Taken {
    places: Rc<Places>,
    pub(crate) place: Rc<Place>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.places.taken.borrow_mut();
        taken.retain(|place| !Rc::ptr_eq(place, &self.place));
        let open = &self.places.counters.open_connections;
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Places, Taken};
    use crate::server::Counters;
    use std::net::IpAddr;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    const MANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const FEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn places(most: usize) -> (Rc<Places>, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Rc::new(Places::new(most, Arc::clone(&counters))), counters)
    }

    /// A place taken a moment after the last one: clocks may stand still for a while.
    fn take(places: &Rc<Places>, client: IpAddr) -> Option<Taken> {
        std::thread::sleep(Duration::from_millis(2));
        places.take(client)
    }

    fn is_lost(place: &Place) -> bool {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let moment = Duration::from_millis(1);
            timeout(moment, place.lost()).await.is_ok()
        })
    }

    #[test]
    fn whoever_is_waited_for_longest_makes_room() {
        let (places, counters) = places(3);
        let all = [(); 3].map(|()| take(&places, MANY).unwrap());
        // The first has been heard of since.
        all[0].place.waits();
        let newer = take(&places, MANY).unwrap();
        assert_eq!(
            all.each_ref().map(|taken| is_lost(&taken.place)),
            [false, true, false]
        );
        assert_eq!(counters.displaced_connections.load(Ordering::Relaxed), 1);
        assert_eq!(counters.open_connections.load(Ordering::Relaxed), 4);
        drop(all);
        assert_eq!(counters.open_connections.load(Ordering::Relaxed), 1);
        drop(newer);
        assert!(places.taken.borrow().is_empty());
    }

    #[test]
    fn a_client_with_many_connections_loses_its_own() {
        let (places, _) = places(4);
        let few = take(&places, FEW).unwrap();
        let mut many = Vec::new();
        for _ in 0..20 {
            many.push(take(&places, MANY).unwrap());
        }
        assert!(!is_lost(&few.place));
        let lost = many.iter().filter(|taken| is_lost(&taken.place)).count();
        assert_eq!(lost, 17);
        // The last three are those that stay.
        assert!(many[17..].iter().all(|taken| !is_lost(&taken.place)));
    }

    #[test]
    fn who_does_nothing_goes_before_who_shakes_hands() {
        let (places, _) = places(2);
        let all = [(); 2].map(|()| take(&places, MANY).unwrap());
        all[0].place.shakes();
        let newer = take(&places, MANY).unwrap();
        assert!(is_lost(&all[1].place) && !is_lost(&all[0].place));
        // Nobody stays for ever.
        newer.place.shakes();
        assert!(take(&places, MANY).is_some());
        assert!(is_lost(&all[0].place) && !is_lost(&newer.place));
    }

    #[test]
    fn what_is_being_answered_keeps_its_place() {
        let (places, counters) = places(2);
        let all = [(); 2].map(|()| take(&places, MANY).unwrap());
        for taken in &all {
            taken.place.works();
        }
        assert!(take(&places, FEW).is_none());
        assert_eq!(counters.rejected_connections.load(Ordering::Relaxed), 1);
        all[1].place.waits();
        assert!(take(&places, FEW).is_some());
        assert!(is_lost(&all[1].place) && !is_lost(&all[0].place));
    }
}
