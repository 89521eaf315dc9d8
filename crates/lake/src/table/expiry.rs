//! Forgetting old log files. Two checkpoints stay, with every commit after the older one: a table can then still be read
//! when the newest checkpoint is damaged.

use object_store::{Error as StoreError, ObjectStoreExt};

use super::Table;
use crate::blocking::wait;
use crate::error::LakeError;
use crate::log;

impl Table {
    /// Deletes commits and checkpoints that are older than the last but one checkpoint and were written before `before`
    /// (milliseconds; seven days ago is usual, so that readers of other engines can still look back). Returns how many.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when one of the two checkpoints cannot be read: then nothing is deleted. [`LakeError::Io`].
    pub fn expire_log(&self, before: i64) -> Result<u64, LakeError> {
        let _turn = self.lock();
        let log = self.log();
        let Some(last) = log.pointer()? else { return Ok(0) };
        let Some(previous) = last.ft_previous else { return Ok(0) };
        log.read_checkpoint(&last.newest)?;
        log.read_checkpoint(&previous)?;
        let mut deleted = 0;
        for object in log.objects()? {
            let name = object.location.filename().unwrap_or_default();
            let version = log::version_of(name).or_else(|| log::checkpoint_version_of(name));
            // A version equal to the checkpoint's is inside it, but the checkpoint itself has that version too.
            let old = version.is_some_and(|version| version < previous.version);
            if !old || object.last_modified.timestamp_millis() >= before {
                continue;
            }
            match wait(self.store.delete(&object.location)) {
                Ok(()) | Err(StoreError::NotFound { .. }) => deleted += 1,
                Err(error) => {
                    let (file, why) = (object.location.to_string(), error.to_string());
                    return Err(LakeError::Io { action: "delete", file, why });
                }
            }
        }
        Ok(deleted)
    }
}
