//! Senders that write down what was acknowledged, and the comparison with what is stored.

mod account;
mod sender;
mod values;

use std::path::Path;
use std::time::Duration;

pub use account::Account;
pub use sender::{Entry, Ledger, SERIES, Sender};
pub use values::{Random, start_of_time, value_at};

/// Connections that send at the same time.
pub const CONNECTIONS: u64 = 4;

/// As many senders as there are connections, with their ledgers in `folder`.
pub fn senders(seed: u64, folder: &Path) -> Vec<Sender> {
    let start = start_of_time();
    (0..CONNECTIONS).map(|id| Sender::new(seed, id, start, &folder.join(format!("ledger-{id}")))).collect()
}

/// All senders send to `address` until `end` has run and their connections break.
pub fn one_life(address: &str, senders: Vec<Sender>, life: Duration, end: impl FnOnce()) -> Vec<Sender> {
    let threads = senders.into_iter().map(|mut sender| {
        let address = address.to_owned();
        std::thread::spawn(move || {
            sender.send_until_cut(&address);
            sender
        })
    });
    let threads: Vec<_> = threads.collect();
    std::thread::sleep(life);
    end();
    let joined = threads.into_iter().map(|thread| thread.join());
    joined.map(|sender| sender.unwrap_or_else(|_| panic!("a sender met an answer that it must not get"))).collect()
}
