//! The kill switch: while it is thrown, no call begins that changes anything but what people are told.
//!
//! It is a file, so that throwing it needs neither the store nor the bus nor this program; a node sees a file where it is. The store
//! holds it as well, so that one command stops every node.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Steady, uptime};

/// Where the switch is. It throws itself when the machine's clock jumps: limits and deadlines mean nothing until a person has seen to it.
#[derive(Debug, Clone)]
pub struct KillSwitch {
    file: PathBuf,
    steady: Arc<Steady>,
}

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
        Self { file: file.into(), steady: Arc::new(Steady::at(Timestamp::now(), uptime())) }
    }

    /// Where its file is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Who threw it, if it is thrown. A file that cannot be read or says nothing stops as well: `touch` is enough.
    pub fn thrown(&self) -> Option<Stopped> {
        self.at_a_jump(Timestamp::now(), uptime()).or_else(|| self.as_written())
    }

    /// Throws it if the clock has jumped; who threw it, where that cannot be written.
    fn at_a_jump(&self, wall: Timestamp, uptime: Duration) -> Option<Stopped> {
        let jump = self.steady.jump(wall, uptime)?;
        let way = if jump.is_positive() { "ahead" } else { "back" };
        let reason =
            format!("this machine's clock was set {way} by {:#} at once; see that it is right, then `quell resume-actions`", jump.abs());
        let stopped = Stopped { who: "the clock".to_owned(), since: Some(wall), reason };
        match self.stop(&stopped) {
            Ok(()) => self.steady.accept(wall, uptime),
            Err(_told_each_time) => return Some(stopped),
        }
        None
    }

    fn as_written(&self) -> Option<Stopped> {
        match fs::read_to_string(&self.file) {
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
        if let Some(folder) = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        // Empty for a moment, which stops already.
        let mut file = match fs::OpenOptions::new().write(true).create_new(true).open(&self.file) {
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
        match fs::remove_file(&self.file) {
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
    fn it_throws_itself_when_the_clock_jumps_and_once_for_each_jump() {
        let folder = tempfile::tempdir().unwrap();
        let switch = KillSwitch::at(folder.path().join("stopped"));
        let (wall, up) = (Timestamp::now(), uptime());
        let later = wall + jiff::SignedDuration::from_hours(4);
        assert_eq!(switch.at_a_jump(later, up), None);
        let thrown = switch.as_written().unwrap();
        assert!(thrown.who == "the clock" && thrown.reason.contains("set ahead by 4h"), "{thrown:?}");
        switch.resume().unwrap();
        assert_eq!((switch.at_a_jump(later, up), switch.as_written()), (None, None), "a person has taken it for right");
        switch.at_a_jump(wall, up);
        assert!(switch.as_written().unwrap().reason.contains("set back by"));
    }

    #[test]
    fn a_jump_that_cannot_be_written_down_stops_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("no-folder"), "").unwrap();
        let switch = KillSwitch::at(folder.path().join("no-folder/stopped"));
        let later = Timestamp::now() + jiff::SignedDuration::from_hours(4);
        for _ in 0..2 {
            assert_eq!(switch.at_a_jump(later, uptime()).unwrap().who, "the clock");
        }
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
