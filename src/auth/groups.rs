//! The groups of a user.

use std::ffi::CString;
use std::process::Command;

use nix::unistd::{Gid, getgrouplist};

/// The groups of the user `name`, whose own is `own`; that is the first.
///
/// `id` is asked, because what finds groups would stay in this process: on
/// Debian the libraries of systemd and of mathematics, an eighth of what an idle
/// broker has in memory. Where there is no `id`, they are looked up here.
pub fn groups_of(name: &str, own: Gid) -> Vec<Gid> {
    let Some(mut groups) = told_by_id(name) else {
        return looked_up(name, own).unwrap_or_else(|| vec![own]);
    };
    groups[0] = own;
    groups
}

/// The groups according to `id`, the user's own first; `None`: it doesn't tell.
fn told_by_id(name: &str) -> Option<Vec<Gid>> {
    let output = Command::new("/usr/bin/id")
        .args(["-G", "--", name])
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let words = str::from_utf8(&output.stdout).ok()?.split_whitespace();
    let groups: Option<Vec<_>> = words
        .map(|word| word.parse().ok().map(Gid::from_raw))
        .collect();
    groups.filter(|groups| !groups.is_empty())
}

fn looked_up(name: &str, own: Gid) -> Option<Vec<Gid>> {
    getgrouplist(&CString::new(name).ok()?, own).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Uid, User};

    #[test]
    fn id_tells_what_the_name_service_does() {
        let me = User::from_uid(Uid::current()).unwrap().unwrap();
        let own = Gid::from_raw(54_321);
        let mut told = groups_of(&me.name, own);
        assert_eq!(told[0], own, "another own group than the user has");
        let mut known = looked_up(&me.name, own).unwrap();
        for groups in [&mut told, &mut known] {
            groups.sort_unstable_by_key(|group| group.as_raw());
        }
        assert_eq!(told, known);
    }

    #[test]
    fn who_is_unknown_has_a_group_of_his_own_only() {
        let own = Gid::from_raw(7);
        assert_eq!(told_by_id("nobody knows me"), None);
        assert_eq!(groups_of("nobody knows me", own), [own]);
        assert_eq!(groups_of("--version", own), [own]);
    }
}
