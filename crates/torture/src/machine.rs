//! The machine below: who we are, which programs there are, mounts that go away with their value.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether we may mount.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

/// Whether we may trace a process that runs already and is not our child's.
pub fn may_trace() -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    is_root() || scope.map_or(true, |scope| scope.trim() == "0")
}

/// The program's path, if it is installed.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A shared library, named by its path below one of the places where systems keep libraries.
pub fn library(name: &str) -> Option<PathBuf> {
    let by_kind = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let places = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let places = places.into_iter().flat_map(|folder| by_kind(folder).chain([PathBuf::from(folder)]));
    places.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A folder for rounds that ask what is stored and not whether it is on the disk: in memory, where there is such a place.
pub fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Runs a program to its end.
///
/// # Errors
/// What it said, or that it is not there.
pub fn run(program: &str, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(arguments).output().map_err(|err| format!("{program}: {err}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Memory of `mib` as a disk at the folder `at`, which is made.
    ///
    /// # Errors
    /// Why it cannot be mounted here.
    pub fn memory(at: &Path, mib: u64) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|err| err.to_string())?;
        let (size, place) = (format!("size={mib}m"), at.display().to_string());
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &place])?;
        Ok(Self { at: at.to_owned() })
    }

    /// The file system in the image `image` at the folder `at`, which is made.
    ///
    /// # Errors
    /// Why it cannot be mounted here.
    pub fn image(image: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|err| err.to_string())?;
        run("mount", &["-o", "loop", &image.display().to_string(), &at.display().to_string()])?;
        Ok(Self { at: at.to_owned() })
    }

    /// Gives a memory disk another size, or other options.
    ///
    /// # Errors
    /// What mount said.
    pub fn change(&self, options: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,{options}"), &self.at.display().to_string()]).map(drop)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that was killed a moment ago may hold it a little longer.
        for _ in 0..50 {
            if run("umount", &[&self.at.display().to_string()]).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let _ = run("umount", &["-l", &self.at.display().to_string()]);
    }
}
