//! Errors of playbooks on alerts and at the times of schedules: each is noted once for a text of the playbook, in the transaction of the
//! decision, and people are told of it with that.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{outbox, rows};
use crate::news::{News, Outlet, Topic};

/// Who reads five errors of a playbook mends it; more of them would only be counted.
const MOST_ERRORS: i64 = 5;

/// Notes an error and tells of it, unless it is known or the text has enough of them. Where nobody is to be told, nothing is noted, so
/// that it is told when somebody is.
pub(super) async fn note(
    connection: &mut AnyConnection,
    (playbook, hash): (&str, &str),
    (occasion, detail): (&str, &str),
    (outlet, now): (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    if outlet.told_of(Topic::PlaybookError).is_empty() {
        return Ok(());
    }
    let query = "INSERT INTO playbook_error (playbook, playbook_hash, error, detail, occasion, first_at)
                 SELECT $1, $2, $3, $4, $5, $6
                 WHERE (SELECT count(*) FROM playbook_error WHERE playbook = $1 AND playbook_hash = $2) < $7
                 ON CONFLICT DO NOTHING";
    let noted = sqlx::query(query)
        .bind(playbook)
        .bind(hash)
        .bind(rows::text(&without_values(detail)))
        .bind(rows::text(detail))
        .bind(occasion)
        .bind(now.as_microsecond())
        .bind(MOST_ERRORS)
        .execute(&mut *connection)
        .await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    let news = News::PlaybookError { playbook: playbook.to_owned(), occasion: occasion.to_owned(), detail: rows::text(detail), since: now };
    outbox::tell(connection, (outlet, now), &news, 1).await
}

/// A sentence without what stands in backticks and without digits, which differ from alert to alert.
fn without_values(detail: &str) -> String {
    let outside = detail.split('`').step_by(2).collect::<Vec<_>>().join("`…`");
    outside.chars().filter(|c| !c.is_ascii_digit()).take(LONGEST_ERROR).collect()
}

/// Longer than any sentence of ours, shorter than a text that somebody else's words made long.
const LONGEST_ERROR: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_differs_by_alert_is_one() {
        let error = |value: &str| without_values(&format!("the number `{value}` cannot be compared with the text `x`, at {value}"));
        assert_eq!(error("12"), error("13"));
        assert_eq!(error("12"), "the number `…` cannot be compared with the text `…`, at ");
        assert_ne!(error("12"), without_values("`alert` has no `severty`; did you mean `severity`?"));
    }
}
