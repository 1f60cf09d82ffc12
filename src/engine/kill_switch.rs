//! The kill switch: while it is thrown, no call begins that changes anything but what people are told.
//!
//! It is a file, so that throwing it needs neither the store nor the bus nor this program; a node sees a file where it is. The store
//! holds it as well, so that one command stops every node.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the switch is.
#[derive(Debug, Clone)]
pub struct KillSwitch(PathBuf);

/// Who threw the switch, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Stopped {
    pub who: String,
    #[serde(default)]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub reason: String,
}

impl KillSwitch {
    /// The switch that is thrown while there is a file at that path.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    /// Where its file is.
    pub fn file(&self) -> &Path {
        &self.0
    }

    /// Who threw it, if it is thrown. A file that cannot be read or says nothing stops as well: `touch` is enough.
    pub fn thrown(&self) -> Option<Stopped> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Some(serde_json::from_str(&text).unwrap_or_else(|_| unsigned(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(unsigned(&format!("the file cannot be read: {error}"))),
        }
    }

    /// Throws it. One that is thrown already stays as it is: who was first is who stopped.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn stop(&self, stopped: &Stopped) -> io::Result<()> {
        if let Some(folder) = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        // Empty for a moment, which stops already.
        let mut file = match fs::OpenOptions::new().write(true).create_new(true).open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        };
        io::Write::write_all(&mut file, serde_json::to_string(stopped)?.as_bytes())?;
        file.sync_all()
    }

    /// Lets calls begin again.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn resume(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn unsigned(reason: &str) -> Stopped {
    Stopped { who: "somebody".to_owned(), since: None, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(who: &str) -> Stopped {
        Stopped { who: who.to_owned(), since: None, reason: "too many suspensions".to_owned() }
    }

    #[test]
    fn it_is_thrown_by_the_first_and_until_somebody_resumes() {
        let folder = tempfile::tempdir().unwrap();
        let switch = KillSwitch::at(folder.path().join("data/actions-stopped"));
        assert_eq!(switch.thrown(), None);
        switch.resume().unwrap();
        switch.stop(&stopped("mina")).unwrap();
        switch.stop(&stopped("jun")).unwrap();
        assert_eq!(switch.thrown(), Some(stopped("mina")));
        switch.resume().unwrap();
        assert_eq!(switch.thrown(), None);
    }

    #[test]
    fn whatever_stands_in_its_place_stops() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stopped");
        let switch = KillSwitch::at(&file);
        fs::write(&file, "").unwrap();
        assert_eq!(switch.thrown().unwrap().who, "somebody");
        fs::write(&file, "wait for me\n").unwrap();
        assert_eq!(switch.thrown().unwrap().reason, "wait for me");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(switch.thrown().unwrap().reason.contains("cannot be read"), "a folder is no file, and stops all the same");
    }
}
