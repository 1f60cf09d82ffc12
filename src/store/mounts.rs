//! On what kind of file system a file is. Over a network, locks and syncs that SQLite relies on may be only said to have happened.

use std::path::{Path, PathBuf};

/// What Linux calls the file systems that another machine keeps.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.s3fs",
    "fuse.rclone",
    "beegfs",
    "gpfs",
    "ocfs2",
    "gfs2",
];

/// The network file system that holds a folder, if one does. Where the system does not tell, nothing is known against it.
pub(super) fn network(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = folder.canonicalize().ok()?;
    let kind = kind(&mounts, &folder)?;
    NETWORK.contains(&kind).then(|| kind.to_owned())
}

/// The kind of the last mount whose place the folder is in; see `proc_pid_mountinfo(5)`.
fn kind<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = PathBuf::from(place.split(' ').nth(4)?.replace("\\040", " "));
        folder.starts_with(&place).then_some((place.components().count(), kind.split(' ').next()?))
    };
    // Of two on the same place the later one is seen.
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
40 22 0:34 / /srv/team\\040files rw shared:1 - nfs4 filer:/export rw
41 40 8:2 / /srv/team\\040files/local rw - xfs /dev/sdb1 rw
42 22 0:35 / /data rw - ext4 /dev/sdc1 rw
43 22 0:36 / /data rw - cifs //filer/data rw
";

    #[test]
    fn a_folder_is_on_what_is_mounted_nearest_to_it_and_last() {
        let kind = |folder: &str| kind(MOUNTS, Path::new(folder)).unwrap();
        assert_eq!(kind("/var/lib/quell"), "ext4");
        assert_eq!(kind("/srv/team files/quell"), "nfs4");
        assert_eq!(kind("/srv/team files/local/quell"), "xfs");
        assert_eq!(kind("/srv/team files and more"), "ext4");
        assert_eq!(kind("/data/quell"), "cifs");
    }

    #[test]
    fn the_folder_of_the_tests_is_not_on_a_network() {
        assert_eq!(network(&std::env::temp_dir()), None);
    }
}
