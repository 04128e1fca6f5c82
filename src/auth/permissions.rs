//! Who on this machine can read a file with secrets in it, and the command
//! that mends it. Nothing is ever refused for that.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

use super::groups::groups_of;

/// The user that a broker runs as.
#[derive(Clone, Debug)]
pub struct Reader {
    name: String,
    uid: u32,
    /// The name of its own group.
    group: String,
    groups: Vec<u32>,
}

impl Reader {
    /// The user of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        User::from_name(name).ok()?.map(Self::of)
    }

    /// The user that this process runs as.
    pub fn current() -> Option<Self> {
        User::from_uid(Uid::effective()).ok()?.map(Self::of)
    }

    fn of(user: User) -> Self {
        let groups = groups_of(&user.name, user.gid);
        let group = Group::from_gid(user.gid).ok().flatten();
        Self {
            uid: user.uid.as_raw(),
            group: group.map_or_else(|| user.gid.to_string(), |group| group.name),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
            name: user.name,
        }
    }

    /// Whether the bit (4: read, 1: enter a directory) holds for this user.
    fn has(&self, bit: u32, file: &Metadata) -> bool {
        let shift = if self.uid == file.uid() {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || file.mode() >> shift & bit != 0
    }

    /// Whether the user could read the file if strangers could not.
    fn reads_as_friend(&self, file: &Metadata) -> bool {
        let is_friend = self.uid == file.uid() || self.groups.contains(&file.gid());
        self.uid == 0 || is_friend && self.has(4, file)
    }

    /// The command after which this user can read the file, and strangers
    /// cannot.
    fn remedy(&self, path: &Path, file: &Metadata) -> String {
        let word = shell_word(path);
        let me = Uid::effective().as_raw();
        let sudo = |needed: bool| if needed && me != 0 { "sudo " } else { "" };
        if self.reads_as_friend(file) {
            return format!("{}chmod o-rwx {word}", sudo(me != file.uid()));
        }
        if self.uid == file.uid() {
            return format!("{}chmod u+r,o-rwx {word}", sudo(me != file.uid()));
        }
        let (sudo, group) = (sudo(true), &self.group);
        format!("{sudo}chgrp {group} {word} && {sudo}chmod 0640 {word}")
    }
}

/// The warning about a file that everybody on this machine can read or change,
/// for a broker that runs as `reader`; with the command that mends it.
pub fn exposure(path: &Path, reader: &Reader) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    let verb = match file.mode() & 0o006 {
        0 => return None,
        0o004 => "read",
        _ => "change",
    };
    Some(format!(
        "Every user of this machine can {verb} {}; mend it with: {}",
        path.display(),
        reader.remedy(path, &file)
    ))
}

/// What keeps a broker that runs as `reader` from a file; with the command that
/// helps.
pub fn obstacle(path: &Path, reader: &Reader) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let name = &reader.name;
    let closed = path
        .ancestors()
        .skip(1)
        .find(|directory| fs::metadata(directory).is_ok_and(|metadata| !reader.has(1, &metadata)));
    if let Some(directory) = closed {
        return Some(format!(
            "a broker that runs as user {name} cannot enter {}; put the file elsewhere, for \
             instance into /etc/mosquitto",
            directory.display()
        ));
    }
    let file = fs::metadata(&path).ok()?;
    (!reader.has(4, &file)).then(|| {
        format!(
            "a broker that runs as user {name} cannot read {}; let it with: {}",
            path.display(),
            reader.remedy(&path, &file)
        )
    })
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-+,@%".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    /// A file of ours, in a directory that others may enter, with that mode.
    fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("pass wd");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn stranger() -> Reader {
        Reader {
            name: "broker".into(),
            uid: 54321,
            group: "brokers".into(),
            groups: vec![54321],
        }
    }

    fn owner(path: &Path) -> Reader {
        Reader {
            uid: fs::metadata(path).unwrap().uid(),
            groups: vec![],
            ..stranger()
        }
    }

    #[test]
    fn only_what_everybody_can_read_is_warned_of() {
        for mode in [0o600, 0o640, 0o660, 0o400, 0o601] {
            let (_dir, path) = file(mode);
            assert_eq!(exposure(&path, &stranger()), None, "{mode:o}");
        }
        let (_dir, path) = file(0o646);
        let warning = exposure(&path, &owner(&path)).unwrap();
        assert!(warning.contains("can change"), "{warning}");
        assert_eq!(exposure(Path::new("no/such"), &stranger()), None);
    }

    #[test]
    fn the_command_leaves_the_broker_able_to_read() {
        let (_dir, path) = file(0o644);
        let word = format!("'{}'", path.display());
        let warning = exposure(&path, &owner(&path)).unwrap();
        assert!(
            warning.ends_with(&format!(": chmod o-rwx {word}")),
            "{warning}"
        );
        let warning = exposure(&path, &stranger()).unwrap();
        assert!(
            warning.contains(&format!("chgrp brokers {word} && ")),
            "{warning}"
        );
        assert!(
            warning.ends_with(&format!("chmod 0640 {word}")),
            "{warning}"
        );
        let member = Reader {
            groups: vec![fs::metadata(&path).unwrap().gid()],
            ..stranger()
        };
        let warning = exposure(&path, &member).unwrap();
        assert!(
            warning.ends_with(&format!("chmod o-rwx {word}")),
            "{warning}"
        );
    }

    #[test]
    fn links_are_followed() {
        let (dir, path) = file(0o644);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let warning = exposure(&link, &stranger()).unwrap();
        assert!(warning.contains("/link && "), "{warning}");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(exposure(&link, &stranger()), None);
    }

    #[test]
    fn what_keeps_a_broker_out_is_told() {
        let (dir, path) = file(0o640);
        assert_eq!(obstacle(&path, &owner(&path)), None);
        let told = obstacle(&path, &stranger()).unwrap();
        assert!(told.contains("user broker cannot read"), "{told}");
        assert!(told.contains("chgrp brokers "), "{told}");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(obstacle(&path, &stranger()), None);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let told = obstacle(&path, &stranger()).unwrap();
        assert!(told.contains("cannot enter"), "{told}");
    }

    #[test]
    fn words_with_blanks_are_quoted() {
        assert_eq!(shell_word(Path::new("/etc/pw")), "/etc/pw");
        assert_eq!(shell_word(Path::new("it's")), r"'it'\''s'");
    }

    #[test]
    fn users_are_known_by_name_and_as_ourselves() {
        assert_eq!(Reader::named("root").unwrap().uid, 0);
        assert!(Reader::named("no-such-user").is_none());
        let me = Reader::current().map(|reader| reader.uid);
        assert!(me.is_none_or(|uid| uid == Uid::effective().as_raw()));
    }
}
