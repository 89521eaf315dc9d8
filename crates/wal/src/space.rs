//! Room on the disk: how much there is, taking some in advance, and telling a full disk from a failing one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Room on the disk of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes an ordinary user may still fill.
    pub free_bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
}

/// Room on the disk that holds `path`.
///
/// # Errors
/// The disk's error.
#[expect(unsafe_code, reason = "statvfs has no safe wrapper in std")]
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statvfs is a valid value of that plain C struct.
    let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a NUL-terminated string and `answer` a writable struct, both alive during the call.
    if unsafe { libc::statvfs(name.as_ptr(), &raw mut answer) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "the fields are 32 bits wide on some targets")]
    let bytes = |blocks: libc::fsblkcnt_t| (blocks as u64).saturating_mul(answer.f_frsize as u64);
    Ok(DiskSpace { free_bytes: bytes(answer.f_bavail), total_bytes: bytes(answer.f_blocks) })
}

/// Makes the file `path` (0600, replaced if there is one) own `bytes` of the disk, really taken and not only promised.
///
/// # Errors
/// `StorageFull` when there is no such room; the file is then gone again.
#[expect(unsafe_code, reason = "posix_fallocate has no safe wrapper in std")]
pub fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let length = libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open during the call; no memory of ours is touched.
    let refused = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
    if refused != 0 {
        // Half a reserve would only take room away.
        let _ = std::fs::remove_file(path);
        return Err(io::Error::from_raw_os_error(refused));
    }
    file.sync_all()
}

/// Whether the disk said that it has no room.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the place cannot be written to at all: mounted read-only, or not ours.
pub fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_room_is_taken_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let space = disk_space(folder.path()).unwrap();
        assert!(space.free_bytes > 0 && space.free_bytes <= space.total_bytes);
        let path = folder.path().join("reserve");
        allocate(&path, 1 << 20).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
        let refused = allocate(&path, space.total_bytes.saturating_mul(2)).unwrap_err();
        assert!(!path.exists(), "{refused}");
    }
}
