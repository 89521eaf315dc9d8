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
    pub(crate) targets: Targets,
    /// Queries that had no room, to be tried again when room was made after this many releases.
    pub(crate) refused_at: Option<u64>,
}

/// A short list that lies where its owner lies: most series feed one query or two.
#[derive(Debug, Clone)]
pub(crate) enum Targets {
    Few([(u32, u32); FEW], u8),
    Many(Box<[(u32, u32)]>),
}

const FEW: usize = 2;

impl Default for Targets {
    fn default() -> Self {
        Self::Few([(0, 0); FEW], 0)
    }
}

impl From<Vec<(u32, u32)>> for Targets {
    fn from(list: Vec<(u32, u32)>) -> Self {
        if list.len() > FEW {
            return Self::Many(list.into_boxed_slice());
        }
        let mut few = [(0, 0); FEW];
        few[..list.len()].copy_from_slice(&list);
        Self::Few(few, list.len() as u8)
    }
}

impl std::ops::Deref for Targets {
    type Target = [(u32, u32)];

    fn deref(&self) -> &[(u32, u32)] {
        match self {
            Self::Few(few, n) => &few[..usize::from(*n).min(FEW)],
            Self::Many(list) => list,
        }
    }
}

/// Ids are hashes already.
#[derive(Debug, Default, Clone)]
pub(crate) struct IdHasher(u64);

pub(crate) type IdMap<V> = HashMap<SeriesId, V, BuildHasherDefault<IdHasher>>;

/// The remembered routes, in the order in which series were first met: scrapes come in that order again and again, so the
/// next route is nearly always the one behind the last.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: Vec<(SeriesId, Route)>,
    places: IdMap<u32>,
    /// Places of forgotten routes.
    free: Vec<u32>,
    /// Place of the route asked for last.
    last: usize,
}

impl Routes {
    /// The route of a series, if it is known and needs no second look.
    #[inline]
    pub(crate) fn get(&mut self, id: SeriesId, releases: u64) -> Option<&Route> {
        let next = self.last.wrapping_add(1);
        let place = match self.known.get(next) {
            // A forgotten route keeps its id and has no place.
            Some((known, route)) if *known == id && !route.targets.is_empty() => next,
            _ => *self.places.get(&id)? as usize,
        };
        self.last = place;
        let (_, route) = self.known.get(place)?;
        Some(route).filter(|route| route.refused_at.is_none_or(|at| at == releases))
    }

    pub(crate) fn insert(&mut self, id: SeriesId, route: Route) {
        if let Some(&place) = self.places.get(&id) {
            self.known[place as usize].1 = route;
            return;
        }
        if self.places.len() >= ROUTES_MAX {
            *self = Self::default();
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.known[place as usize] = (id, route);
                place
            }
            None => {
                self.known.push((id, route));
                (self.known.len() - 1) as u32
            }
        };
        self.places.insert(id, place);
    }

    /// Forgets a series whose slot was given up.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        if let Some(place) = self.places.remove(&id) {
            self.known[place as usize].1 = Route::default();
            self.free.push(place);
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.known.capacity() * size_of::<(SeriesId, Route)>()
            + self.places.capacity() * (size_of::<(SeriesId, u32)>() + 1)
            + self.free.capacity() * 4
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
