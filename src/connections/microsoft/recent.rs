//! What was read some minutes ago and hardly changes, so that a wave of alerts asks for it once and not for each of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

/// Names of customers change within months; a new domain shows within the hour. Nothing that is acted on is kept here.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// Some kilobytes for each of a large partner's customers that have alerts at the same time.
const MOST: usize = 2_000;

/// Documents by the place that they were read from.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<BTreeMap<String, (Instant, Value)>>);

impl Recent {
    pub(super) fn get(&self, place: &str) -> Option<Value> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(place).filter(|(read, _)| read.elapsed() < GOOD_FOR).map(|(_, body)| body.clone())
    }

    pub(super) fn put(&self, place: &str, body: &Value) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, (read, _)| read.elapsed() < GOOD_FOR);
        }
        // What finds no room is asked for again.
        if kept.len() < MOST {
            kept.insert(place.to_owned(), (Instant::now(), body.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_good_for_some_minutes() {
        let recent = Recent::default();
        recent.put("/customers/1", &Value::from(1));
        tokio::time::advance(GOOD_FOR / 2).await;
        assert_eq!(recent.get("/customers/1"), Some(Value::from(1)));
        tokio::time::advance(GOOD_FOR / 2).await;
        assert_eq!(recent.get("/customers/1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_again_when_time_has_passed() {
        let recent = Recent::default();
        for number in 0..=MOST {
            recent.put(&number.to_string(), &Value::Null);
        }
        assert_eq!((recent.get("0"), recent.get(&MOST.to_string())), (Some(Value::Null), None));
        tokio::time::advance(GOOD_FOR).await;
        recent.put("new", &Value::Null);
        assert!(recent.get("new").is_some());
    }
}
