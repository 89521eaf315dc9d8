//! R2: the power goes while samples arrive: a file system on a loop device is shut down under the server, as
//! `xfs_io -x -c shutdown` does, once an ext4 and once an xfs. Needs root, loop devices and the maker of the file system.
//!
//! With the power all ends at once; the shutdown takes its time, and a sync that runs beside it may be answered with success
//! by a kernel that has given up the file system. Answers count until the shutdown begins: a later one would not have come.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::ledger::{self, Account, Random, Sender};
use crate::machine::{self, Mount};
use crate::plan::{Outcome, Plan};
use crate::process::Process;

/// Size of the disk; xfs wants 300 MiB at least.
const DISK_MIB: u64 = 512;
/// `XFS_IOC_GOINGDOWN`, which ext4 knows as well: `_IOR('X', 125, __u32)`.
const GOING_DOWN: libc::c_ulong = 0x8004_587d;
/// Without flushing the file system's own log: what was not synced is gone.
const NO_LOG_FLUSH: u32 = 2;

/// A file system, with the words that make one of it without questions.
struct Kind {
    name: &'static str,
    make: &'static [&'static str],
}

/// Cuts the power of an ext4 `plan.count` times.
pub fn ext4(plan: &Plan) -> Outcome {
    cuts(plan, &Kind { name: "ext4", make: &["mkfs.ext4", "-q", "-F"] })
}

/// The same with xfs, which delays and reorders other things: it takes file sizes and data to the disk apart.
pub fn xfs(plan: &Plan) -> Outcome {
    cuts(plan, &Kind { name: "xfs", make: &["mkfs.xfs", "-q", "-f"] })
}

fn cuts(plan: &Plan, kind: &Kind) -> Outcome {
    let name = kind.name;
    if !machine::is_root() {
        return Outcome::Skipped(format!("power cut on {name}: only root may mount"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.img");
    if let Err(why) = make_disk(&image, kind) {
        return Outcome::Skipped(format!("power cut on {name}: {why}"));
    }
    let place = folder.path().join("disk");
    let (mut senders, mut account) = (ledger::senders(plan.seed, folder.path()), Account::new(plan.seed));
    let (mut random, log) = (Random::new(plan.seed, "power"), folder.path().join("serve.log"));
    for cut in 1..=plan.count {
        let disk = match Mount::image(&image, &place) {
            Ok(disk) => disk,
            Err(why) if cut == 1 => return Outcome::Skipped(format!("power cut on {name}: {why}")),
            Err(why) => panic!("the {name} does not come back after a power cut: {why}"),
        };
        let data = disk.path().join("data");
        let server = Process::start(&plan.binary, &data, &log, &[]);
        let address = server.address().to_owned();
        if cut > 1 {
            account.settle_by_sql(&address, &senders, &format!("{name} power cut {}", cut - 1), || server.log());
        }
        if random.one_in(2) {
            let address = address.clone();
            std::thread::spawn(move || drop(crate::http::try_send(&address, "POST", "/-/flush?merge=true")));
        }
        let (mut refused, mut counted) = (None, Vec::new());
        let ledgers: Vec<_> = senders.iter().map(Sender::ledger).collect();
        senders = ledger::one_life(&address, senders, random.millis(100, 900), || {
            counted = ledgers.iter().map(|ledger| ledger.entries().len()).collect();
            refused = shut_down(disk.path()).err();
            server.kill();
        });
        for (ledger, counted) in ledgers.iter().zip(counted) {
            ledger.cut(counted);
        }
        if let Some(why) = refused {
            return Outcome::Skipped(format!("power cut: this {name} cannot be shut down: {why}"));
        }
    }
    let disk = Mount::image(&image, &place).expect("the disk comes back");
    let server = Process::start(&plan.binary, &disk.path().join("data"), &log, &[]);
    account.settle_by_sql(server.address(), &senders, "the end", || server.log());
    server.kill();
    account.settle_by_store(&disk.path().join("data"), &senders, "the end");
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    Outcome::Passed(format!("{} power cuts on {name}; {account}", plan.count))
}

fn make_disk(image: &Path, kind: &Kind) -> Result<(), String> {
    let (program, words) = kind.make.split_first().ok_or("no program is named")?;
    let make = machine::on_path(program).ok_or_else(|| format!("{program} is not installed"))?;
    let file = File::create(image).map_err(|err| err.to_string())?;
    file.set_len(DISK_MIB << 20).map_err(|err| err.to_string())?;
    let image = image.display().to_string();
    let words: Vec<&str> = words.iter().copied().chain([image.as_str()]).collect();
    machine::run(&make.display().to_string(), &words).map(drop)
}

/// Takes the power from the file system at `place`.
#[expect(unsafe_code, reason = "ioctl has no safe wrapper in std")]
fn shut_down(place: &Path) -> io::Result<()> {
    let folder = File::open(place)?;
    let how = NO_LOG_FLUSH;
    // SAFETY: the descriptor is open and `how` alive during the call; the kernel reads four bytes there.
    if unsafe { libc::ioctl(folder.as_raw_fd(), GOING_DOWN as _, &raw const how) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
