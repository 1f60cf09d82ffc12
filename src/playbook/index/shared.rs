//! Rows that no value of an alert finds, because they want that something is not there, or an expression that could be found in anything. They are
//! put together by a clause that many of them have, which is judged once for all.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::layer::{Bucket, CROWD, Draft, Rests};
use crate::playbook::clause::Clause;

/// Rows by a clause that each of them wants.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Vec<(Arc<Clause>, Bucket)>);

impl Shared {
    /// Returns the rows that share nothing, too.
    pub(super) fn new<'c>(drafts: Vec<Draft<'c>>, layers: usize, rests: &mut Rests) -> (Self, Vec<Draft<'c>>) {
        let mut crowds: HashMap<*const Clause, usize> = HashMap::new();
        for clause in drafts.iter().flat_map(|draft| &draft.judged) {
            *crowds.entry(Arc::as_ptr(clause)).or_default() += 1;
        }
        let crowd = |clause: &Arc<Clause>| crowds.get(&Arc::as_ptr(clause)).copied().unwrap_or_default();
        let (mut alone, mut groups) = (Vec::new(), HashMap::<*const Clause, (Arc<Clause>, Vec<Draft<'c>>)>::new());
        for mut draft in drafts {
            let most = draft.judged.iter().copied().enumerate().max_by_key(|(_, clause)| crowd(clause));
            let Some((at, clause)) = most.filter(|(_, clause)| crowd(clause) > CROWD) else {
                alone.push(draft);
                continue;
            };
            draft.judged.remove(at);
            groups.entry(Arc::as_ptr(clause)).or_insert_with(|| (Arc::clone(clause), Vec::new())).1.push(draft);
        }
        let groups = groups.into_values().map(|(clause, drafts)| (clause, Bucket::new(drafts, layers, rests)));
        (Self(groups.collect()), alone)
    }

    pub(super) fn find(&self, alert: &Value, rows: &mut Vec<usize>) {
        for (_, bucket) in self.0.iter().filter(|(clause, _)| !clause.is_false(alert)) {
            bucket.find(alert, rows);
        }
    }
}
