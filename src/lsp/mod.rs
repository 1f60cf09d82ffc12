//! The language server: editors ask over the standard input and are answered over the standard output, while a playbook or settings are written.
//!
//! The conversation is in [`server`], its messages in [`wire`]. What is wrong ([`diagnostics`]) is what `quell check` finds in the folder as
//! the editor has it ([`documents`], [`site`]). What can be typed ([`completion`]) and what it means ([`hover`]) is asked of the JSON [`schema`]
//! and of [`words`] for a [`place`], which a [`sketch`] of the unfinished text finds. [`position`] counts as editors do.

mod completion;
mod diagnostics;
mod documents;
mod hover;
mod place;
mod position;
mod schema;
mod server;
mod site;
mod sketch;
mod wire;
mod words;

use std::{
    io::{self, BufRead},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

pub use self::site::Site;
use self::{
    server::{Server, Then},
    site::Looked,
    wire::Received,
};
use crate::lifecycle::Tasks;

/// Longer than between two keys, and no time to wait for. What changes meanwhile is looked at together.
const PAUSE: Duration = Duration::from_millis(150);

/// What has been read and not taken yet. The editor waits when it is full.
const MOST_WAITING: usize = 16;

/// Serves an editor until it says `exit`, or is gone; says whether it went in the proper way.
///
/// # Errors
/// The standard output cannot be written.
pub async fn serve(site: Site, tasks: &Tasks) -> io::Result<bool> {
    let (sender, mut incoming) = mpsc::channel(MOST_WAITING);
    // It ends with the input, at the latest after `exit`.
    let reader = spawn_blocking(move || read(&mut io::stdin().lock(), &sender));
    let mut output = io::stdout();
    let mut server = Server::new(site);
    let mut due: Option<Instant> = None;
    let mut checking: Option<JoinHandle<Looked>> = None;
    let is_orderly = loop {
        tokio::select! {
            received = incoming.recv() => match received.map(|it| server.receive(it)) {
                Some(Then::Answer(answer)) => wire::write(&mut output, &answer)?,
                Some(Then::Tell(told)) => wire::write(&mut output, &told)?,
                Some(Then::Nothing) => {}
                Some(Then::End { is_orderly }) => break is_orderly,
                None => break false,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && checking.is_none() => {
                due = None;
                checking = Some(tasks.spawn("check", server.check()));
            }
            looked = finished(&mut checking), if checking.is_some() => {
                checking = None;
                server.publish(looked).iter().try_for_each(|told| wire::write(&mut output, told))?;
            }
        }
        if server.is_stale && due.is_none() {
            due = Some(Instant::now() + PAUSE);
        }
    };
    reader.await?;
    Ok(is_orderly)
}

/// Reads message after message, up to the one after which nothing comes.
fn read(input: &mut impl BufRead, sender: &mpsc::Sender<Received>) {
    loop {
        let received = match wire::read(input) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(error) => return tracing::warn!("the input cannot be read: {error}"),
        };
        let is_last = matches!(&received, Received::Call(call) if call.method() == "exit" && call.id().is_none());
        if sender.blocking_send(received).is_err() || is_last {
            return;
        }
    }
}

/// What the check under way has found; nothing where it panicked, which the next change tries again.
async fn finished(checking: &mut Option<JoinHandle<Looked>>) -> Looked {
    match checking {
        Some(checking) => checking.await.unwrap_or_else(|error| {
            tracing::error!("a check ended by a bug: {error}");
            Looked::default()
        }),
        None => std::future::pending().await,
    }
}
