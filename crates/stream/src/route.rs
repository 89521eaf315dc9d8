//! Which standing queries a series feeds, remembered by its id so that labels are matched once a series.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use series::SeriesId;

/// Most series remembered; beyond it the table starts again, which costs one matching of labels each.
const ROUTES_MAX: usize = 1 << 20;

/// Where samples of a series go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    /// (query, slot of the series in it).
    pub(crate) targets: Box<[(u32, u32)]>,
    /// Queries that had no room, to be tried again when room was made after this many releases.
    pub(crate) refused_at: Option<u64>,
}

/// Ids are hashes already.
#[derive(Debug, Default, Clone)]
pub(crate) struct IdHasher(u64);

pub(crate) type IdMap<V> = HashMap<SeriesId, V, BuildHasherDefault<IdHasher>>;

/// The remembered routes.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: IdMap<Route>,
}

impl Routes {
    /// The route of a series, if it is known and needs no second look.
    pub(crate) fn get(&self, id: SeriesId, releases: u64) -> Option<&Route> {
        self.known.get(&id).filter(|route| route.refused_at.is_none_or(|at| at == releases))
    }

    pub(crate) fn insert(&mut self, id: SeriesId, route: Route) {
        if self.known.len() >= ROUTES_MAX {
            self.known.clear();
        }
        self.known.insert(id, route);
    }

    /// Forgets a series whose slot was given up.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        self.known.remove(&id);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.known.capacity() * (size_of::<(SeriesId, Route)>() + 1)
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = sketch::wire::hash_bytes(bytes);
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}
