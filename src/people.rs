//! The people that the settings name: who they are, what they may do, and by which token the API knows them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{secret::Secret, word::words};

/// A person, as written under `users:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The groups that the person is a member of; approvals ask groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What the person may do. Whoever says nothing may look.
    #[serde(default)]
    pub role: Role,
    /// What the person's requests to the API show as `Authorization: Bearer …`. Without it, the API does not know the person.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Who may vote: `approver` and above, where a group of theirs is asked. Who may have undone what runs did, or keep it, by the API:
/// `operator` and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    #[default]
    Viewer,
    /// Votes, where a group of theirs is asked.
    Approver,
    /// Votes as an approver does, and decides about what runs did.
    Operator,
    /// As an operator.
    Admin,
}

/// Everybody whom the settings name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct People(BTreeMap<String, User>);

/// Nobody limits how often a token is guessed, so it must not be guessable.
pub const SHORTEST_TOKEN: usize = 16;

impl People {
    /// The person of that name.
    pub fn get(&self, name: &str) -> Option<(&str, &User)> {
        self.0.get_key_value(name).map(|(name, user)| (name.as_str(), user))
    }

    /// The person whose token that is. It takes as long for one who is not there.
    pub fn by_token(&self, guess: &str) -> Option<(&str, &User)> {
        let mut found = None;
        for (name, user) in &self.0 {
            if user.token.as_ref().is_some_and(|token| token.is(guess)) {
                found = Some((name.as_str(), user));
            }
        }
        found
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Those who may vote for one of these groups.
    pub fn approvers(&self, groups: &[&str]) -> Vec<&str> {
        let votes = |user: &User| user.role.may_vote() && user.groups.iter().any(|own| groups.contains(&own.as_str()));
        self.0.iter().filter(|(_, user)| votes(user)).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether the API knows anybody.
    pub fn has_tokens(&self) -> bool {
        self.0.values().any(|user| user.token.is_some())
    }

    /// What is wrong with the settings.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, user) in &self.0 {
            let Some(token) = &user.token else { continue };
            if token.expose().len() < SHORTEST_TOKEN {
                faults.push(format!("`users.{name}.token` is shorter than {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes one"));
            }
            let same = |(other, user): &(&String, &User)| *other < name && user.token.as_ref().is_some_and(|it| it.is(token.expose()));
            if let Some((other, _)) = self.0.iter().find(same) {
                faults.push(format!("`users.{name}.token` is also that of `{other}`; each person has one of their own"));
            }
        }
        faults
    }
}

impl Role {
    /// Whether it may answer approvals.
    pub fn may_vote(self) -> bool {
        self >= Self::Approver
    }

    /// Whether it may decide about what runs did.
    pub fn may_operate(self) -> bool {
        self >= Self::Operator
    }
}

words! {
    Role { Viewer => "viewer", Approver => "approver", Operator => "operator", Admin => "admin" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        serde_yaml::from_str(
            "ann: {groups: [leads], role: approver, token: ann-has-a-long-token}\n\
             bob: {groups: [leads, managers], role: admin, token: bob-has-a-long-token}\n\
             eve: {groups: [leads]}\n",
        )
        .unwrap()
    }

    #[test]
    fn a_token_names_one_person() {
        let people = people();
        assert_eq!(people.by_token("bob-has-a-long-token").map(|(name, user)| (name, user.role)), Some(("bob", Role::Admin)));
        assert!(people.by_token("bob-has-a-long-toke").is_none() && people.by_token("").is_none());
        assert!(people.has_tokens() && !People::default().has_tokens());
    }

    #[test]
    fn members_of_a_group_vote_if_their_role_allows_it() {
        assert_eq!(people().approvers(&["leads"]), ["ann", "bob"]);
        assert_eq!(people().approvers(&["managers", "guests"]), ["bob"]);
    }

    #[test]
    fn a_token_that_is_short_or_shared_is_refused() {
        assert!(people().faults().is_empty());
        let people: People =
            serde_yaml::from_str("a: {token: short}\nb: {token: a-token-of-two-people}\nc: {token: a-token-of-two-people}\n").unwrap();
        let faults = people.faults();
        assert!(
            faults[0].contains("`users.a.token` is shorter") && faults[1].contains("`users.c.token` is also that of `b`"),
            "{faults:?}"
        );
        let error = serde_yaml::from_str::<People>("a: {rolle: admin}").unwrap_err().to_string();
        assert!(error.contains("rolle"), "{error}");
    }
}
