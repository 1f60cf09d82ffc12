//! Who sits before the command line. A command works on the store directly, so whoever can run it could also edit the store: a name is
//! claimed, not proved, and is recorded together with whom the system knows. Who must be sure takes the API, where each has a token.

use std::{fs, os::unix::fs::MetadataExt};

use clap::Args;

use crate::people::{People, User};

/// As whom a command is given.
#[derive(Debug, Clone, Args)]
pub(super) struct Identity {
    /// Your name, for votes one of `users`; without it, the name by which the system knows you.
    #[arg(long = "as", value_name = "NAME", env = "QUELL_USER")]
    name: Option<String>,
}

impl Identity {
    /// The name that is claimed.
    pub(super) fn name(&self) -> String {
        self.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(system_name)
    }

    /// Whoever gives the command, as the audit log tells it.
    pub(super) fn who(&self) -> String {
        who(&self.name())
    }

    /// The person among those that the settings name.
    ///
    /// # Errors
    /// A sentence that says how to be known.
    pub(super) fn among<'p>(&self, people: &'p People) -> Result<(&'p str, &'p User), String> {
        let name = self.name();
        people.get(&name).ok_or_else(|| {
            let known: Vec<_> = people.names().collect();
            let known = if known.is_empty() { "nobody".to_owned() } else { format!("`{}`", known.join("`, `")) };
            format!("`{name}` is not among `users`, which names {known}; say who you are with `--as NAME` or `QUELL_USER`")
        })
    }
}

/// Who gives a command under that name, as the audit log tells it.
pub(super) fn who(name: &str) -> String {
    format!("{name} (command line)")
}

/// How whoever sits there came, for the record.
pub(super) fn via() -> String {
    format!("cli, system user {}", system_name())
}

/// The name of whoever runs this process, as the kernel knows them: a variable such as `USER` can be set by anybody.
fn system_name() -> String {
    let Ok(id) = fs::metadata("/proc/self").map(|it| it.uid()) else { return "unknown".to_owned() };
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, own) = (fields.next()?, fields.next()?, fields.next()?);
        (own.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid-{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        serde_yaml::from_str("ann: {groups: [leads], role: approver}\nbob: {}\n").unwrap()
    }

    #[test]
    fn a_name_is_found_among_those_of_the_settings_or_the_person_is_told_how_to_be_known() {
        let claimed = |name: &str| Identity { name: Some(name.to_owned()) };
        assert_eq!(claimed("ann").among(&people()).map(|(name, user)| (name, user.groups.clone())), Ok(("ann", vec!["leads".to_owned()])));
        let why = claimed("eve").among(&people()).unwrap_err();
        assert!(why.contains("`eve` is not among `users`, which names `ann`, `bob`") && why.contains("--as"), "{why}");
        assert!(claimed("x").among(&People::default()).unwrap_err().contains("names nobody"));
    }

    #[test]
    fn without_a_name_it_is_whom_the_system_knows() {
        let silent = Identity { name: None };
        assert_eq!(silent.name(), system_name());
        assert_eq!(Identity { name: Some(" ".to_owned()) }.name(), system_name());
        assert!(via().ends_with(&system_name()) && !system_name().is_empty());
    }
}
