//! The load as ready-made requests in a file: sending them then costs the machine little but their bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::interrupted;
use super::load::{LoadSpec, Request, generate};
use crate::cli::CliError;

/// Requests of one load, by group of hosts.
pub(super) struct Requests {
    path: PathBuf,
    file: File,
    groups: Vec<Vec<Place>>,
    samples: u64,
}

/// Where a request lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: u64,
    bytes: usize,
    pub(super) samples: u64,
}

impl Requests {
    /// Writes the load into a new file.
    pub(super) fn make(spec: &LoadSpec, path: &Path, stop: &AtomicBool) -> Result<Self, CliError> {
        let fault = |source| CliError::File { path: path.to_owned(), source };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fault)?);
        let (mut groups, mut at, mut n_samples): (Vec<Vec<Place>>, _, _) = (Vec::new(), 0, 0);
        generate(spec, |Request { group, body, samples }| {
            interrupted(stop)?;
            out.write_all(&body).map_err(fault)?;
            if groups.len() <= group {
                groups.resize(group + 1, Vec::new());
            }
            groups[group].push(Place { at, bytes: body.len(), samples });
            (at, n_samples) = (at + body.len() as u64, n_samples + samples);
            Ok::<_, CliError>(())
        })?;
        out.flush().map_err(fault)?;
        let file = File::open(path).map_err(fault)?;
        Ok(Self { path: path.to_owned(), file, groups, samples: n_samples })
    }

    /// Samples of all requests.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// The requests of one of `of` senders, oldest first. A sender has its own hosts, so that each series arrives in order.
    pub(super) fn of_sender(&self, sender: usize, of: usize) -> impl Iterator<Item = Place> + '_ {
        let own: Vec<&Vec<Place>> = self.groups.iter().skip(sender).step_by(of).collect();
        let scrapes = own.first().map_or(0, |group| group.len());
        (0..scrapes).flat_map(move |scrape| own.clone().into_iter().map(move |group| group[scrape]))
    }

    /// Reads one into `body`.
    pub(super) fn read(&self, place: Place, body: &mut Vec<u8>) -> Result<(), CliError> {
        body.resize(place.bytes, 0);
        let read = self.file.read_exact_at(body, place.at);
        read.map_err(|source| CliError::File { path: self.path.clone(), source })
    }
}
