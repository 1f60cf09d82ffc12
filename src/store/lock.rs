//! The lock that keeps a second `quell run` from the same SQLite file.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
};

use super::{StoreError, file_of, lock_path, unusable};

/// Held while one process runs on the database; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock for the database named by `url`; `None` if it is kept by a server, which many may use.
    ///
    /// # Errors
    /// Another process holds it; the message names that process.
    pub fn take(url: &str) -> Result<Option<Self>, StoreError> {
        let Some(database) = file_of(url)? else { return Ok(None) };
        let path = lock_path(&database);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| unusable(format!("create the folder `{}`: {error}", folder.display())))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unusable(format!("open the lock file `{}`: {error}", path.display())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is a courtesy; the refusal stands without it.
                drop(file.read_to_string(&mut holder));
                return Err(unusable(format!(
                    "the store `{}` is in use by process {}; SQLite serves one `quell run`: stop that one first, or give this one its own `store.url`",
                    database.display(),
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(format!("lock `{}`: {error}", path.display()))),
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| unusable(format!("write the lock file `{}`: {error}", path.display())))?;
        Ok(Some(Self { _file: file }))
    }
}
