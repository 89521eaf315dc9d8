//! R2: the power goes while samples arrive: an ext4 on a loop device is shut down under the server, as
//! `xfs_io -x -c shutdown` does. Needs root, loop devices and mkfs.ext4.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::ledger::{self, Account, Random};
use crate::machine::{self, Mount};
use crate::plan::{Outcome, Plan};
use crate::process::Process;

/// Size of the disk.
const DISK_MIB: u64 = 512;
/// `XFS_IOC_GOINGDOWN`, which ext4 knows as well: `_IOR('X', 125, __u32)`.
const GOING_DOWN: libc::c_ulong = 0x8004_587d;
/// Without flushing the file system's own log: what was not synced is gone.
const NO_LOG_FLUSH: u32 = 2;

/// Cuts the power `plan.count` times.
pub fn run(plan: &Plan) -> Outcome {
    if !machine::is_root() {
        return Outcome::Skipped("power cut: only root may mount".to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.img");
    if let Err(why) = make_disk(&image) {
        return Outcome::Skipped(format!("power cut: {why}"));
    }
    let place = folder.path().join("disk");
    let (mut senders, mut account) = (ledger::senders(plan.seed, folder.path()), Account::new(plan.seed));
    let (mut random, log) = (Random::new(plan.seed, "power"), folder.path().join("serve.log"));
    for cut in 1..=plan.count {
        let disk = match Mount::image(&image, &place) {
            Ok(disk) => disk,
            Err(why) if cut == 1 => return Outcome::Skipped(format!("power cut: {why}")),
            Err(why) => panic!("the disk does not come back after a power cut: {why}"),
        };
        let data = disk.path().join("data");
        let server = Process::start(&plan.binary, &data, &log, &[]);
        let address = server.address().to_owned();
        if cut > 1 {
            account.settle_by_sql(&address, &senders, &format!("power cut {}", cut - 1), || server.log());
        }
        if random.one_in(2) {
            let address = address.clone();
            std::thread::spawn(move || drop(crate::http::try_send(&address, "POST", "/-/flush?merge=true")));
        }
        let mut refused = None;
        senders = ledger::one_life(&address, senders, random.millis(100, 900), || {
            refused = shut_down(disk.path()).err();
            server.kill();
        });
        if let Some(why) = refused {
            return Outcome::Skipped(format!("power cut: this file system cannot be shut down: {why}"));
        }
    }
    let disk = Mount::image(&image, &place).expect("the disk comes back");
    let server = Process::start(&plan.binary, &disk.path().join("data"), &log, &[]);
    account.settle_by_sql(server.address(), &senders, "the end", || server.log());
    server.kill();
    account.settle_by_store(&disk.path().join("data"), &senders, "the end");
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    Outcome::Passed(format!("{} power cuts on ext4; {account}", plan.count))
}

fn make_disk(image: &Path) -> Result<(), String> {
    let make = machine::on_path("mkfs.ext4").ok_or("mkfs.ext4 is not installed")?;
    let file = File::create(image).map_err(|err| err.to_string())?;
    file.set_len(DISK_MIB << 20).map_err(|err| err.to_string())?;
    machine::run(&make.display().to_string(), &["-q", "-F", &image.display().to_string()]).map(drop)
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
