//! Accepts connections, and carries each request through faults, service and ledger to its fate.
//!
//! The work is done in a task of its own: a request that has arrived is carried out even when its client is gone, as
//! a real service would.

use std::{sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::sleep,
};

use crate::{
    answer::Answer,
    call::Call,
    core::Core,
    fault::{FaultKind, Subject, Verdict},
    ledger::Entry,
    payload::{CutOff, Payload},
    services,
    trouble::{AHEAD_SECONDS, Trouble},
};

/// No imitated service takes more.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Larger request bodies are only in the ledger as a digest.
const MAX_KEPT_BODY: usize = 64 * 1024;

/// Serves until the task is stopped.
pub(crate) async fn run(core: Arc<Core>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some connections end.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = serve(Arc::clone(&core), stream);
        core.tasks.spawn(connection);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    let digits = hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

async fn serve(core: Arc<Core>, stream: TcpStream) {
    let service = service_fn(move |request| exchange(Arc::clone(&core), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error here is a client that hung up, or a connection that a fault cut: both are in the ledger.
    drop(connection.await);
}

/// What becomes of a request.
enum Fate {
    Whole(Answer),
    /// Half of it, then the connection is cut.
    Broken(Answer),
    /// The connection is cut without a byte.
    Cut,
}

async fn exchange(core: Arc<Core>, request: Request<Incoming>) -> Result<Response<Payload>, CutOff> {
    let (parts, body) = request.into_parts();
    let Some(body) = read_whole(body).await? else {
        return response(&Fate::Whole(Answer::text(413, "too large")));
    };
    let call = Call::new(parts, body, Timestamp::now());
    let (sender, receiver) = oneshot::channel();
    let worker = Arc::clone(&core);
    core.tasks.spawn(async move {
        let (fate, seq) = carry_out(&worker, call).await;
        if let (Err(_), Some(seq)) = (sender.send(fate), seq) {
            worker.state(Timestamp::now()).ledger.mark_unanswered(seq);
        }
    });
    let fate = receiver.await.map_err(|_stopped| CutOff)?;
    let mut response = response(&fate)?;
    let now = Timestamp::now();
    if core.state(now).has(Trouble::ClockAhead) {
        let text = (now + SignedDuration::from_secs(AHEAD_SECONDS)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // A date has no character that a header cannot hold.
        response.headers_mut().extend(HeaderValue::try_from(text).ok().map(|text| (DATE, text)));
    }
    Ok(response)
}

/// Returns what to answer, and the number of the ledger entry, if there is one.
async fn carry_out(core: &Arc<Core>, call: Call) -> (Fate, Option<u64>) {
    if services::is_unrecorded(&call) {
        return (Fate::Whole(services::answer_unrecorded(core, call).await), None);
    }
    let (verdict, latency) = decide(core, &call);
    sleep(Duration::from_millis(verdict.delay) + latency).await;
    let call = Call { now: Timestamp::now(), ..call };
    let (fate, seq) = apply(core, &call, verdict.kind.as_ref());
    sleep(Duration::from_millis(verdict.answer_delay)).await;
    (fate, Some(seq))
}

fn decide(core: &Core, call: &Call) -> (Verdict, Duration) {
    let options = &core.site.options;
    let jitter = u64::try_from(options.latency_jitter.as_millis()).unwrap_or(u64::MAX);
    let mut state = core.state(call.now);
    let extra = Duration::from_millis(state.faults.jitter(jitter));
    let verdict = state.faults.decide(Subject {
        service: call.service(),
        method: &call.method,
        path: &call.target,
        throttle_key: call.throttle_key(),
        now: call.now,
    });
    (verdict, options.latency + extra)
}

/// Carries the request out unless a fault forbids it, and records it, in one critical section.
fn apply(core: &Arc<Core>, call: &Call, fault: Option<&FaultKind>) -> (Fate, u64) {
    let mut state = core.state(call.now);
    let mut answer = match fault.and_then(|kind| services::refusal(call, kind)) {
        Some(refused) => refused,
        None => services::answer(&mut state, call),
    };
    let effect = answer.effect.take();
    let callback = answer.callback.take();
    let mut entry = entry(call, answer.status);
    entry.effect = effect;
    let fate = fate(answer, fault);
    entry.answered = matches!(fate, Fate::Whole(_));
    if let Fate::Whole(answer) = &fate {
        entry.status = answer.status;
    }
    let seq = state.ledger.append(entry);
    drop(state);
    if let Some(callback) = callback {
        core.send(*callback);
    }
    (fate, seq)
}

fn fate(answer: Answer, fault: Option<&FaultKind>) -> Fate {
    match fault {
        Some(FaultKind::ApplyThenDrop | FaultKind::DropBeforeApply) => Fate::Cut,
        Some(FaultKind::Truncate) => Fate::Broken(answer),
        Some(FaultKind::ApplyThenStatus { status }) => Fate::Whole(Answer::text(*status, "")),
        Some(FaultKind::ByteOrderMark) => Fate::Whole(Answer { body: [b"\xef\xbb\xbf".as_slice(), &answer.body].concat(), ..answer }),
        Some(
            FaultKind::Status { .. }
            | FaultKind::Delay { .. }
            | FaultKind::DelayAnswer { .. }
            | FaultKind::Huge { .. }
            | FaultKind::Html { .. }
            | FaultKind::Redirect { .. }
            | FaultKind::Throttle { .. },
        )
        | None => Fate::Whole(answer),
    }
}

fn entry(call: &Call, status: u16) -> Entry {
    let header = |name: &str| call.header(name).map(str::to_owned);
    let keeps_body = call.service() != "login" && call.body.len() <= MAX_KEPT_BODY;
    Entry {
        seq: 0,
        at: call.now,
        service: call.service().to_owned(),
        method: call.method.clone(),
        path: call.target.clone(),
        request_id: header("ms-requestid").or_else(|| header("client-request-id")),
        correlation_id: header("ms-correlationid"),
        if_match: header("if-match"),
        body_sha256: sha256(&call.body),
        body: call.json().filter(|_| keeps_body),
        status,
        applied: false,
        answered: true,
        effect: None,
    }
}

/// `None` is a body that is too large.
async fn read_whole(mut body: Incoming) -> Result<Option<Vec<u8>>, CutOff> {
    let mut bytes = Vec::new();
    loop {
        let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
        let Some(frame) = next.await else {
            return Ok(Some(bytes));
        };
        // The client broke off: there is nobody to answer.
        let Ok(frame) = frame else { return Err(CutOff) };
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > MAX_BODY {
            return Ok(None);
        }
    }
}

fn response(fate: &Fate) -> Result<Response<Payload>, CutOff> {
    let (answer, payload) = match fate {
        Fate::Whole(answer) => (answer, Payload::whole(answer.body.clone())),
        Fate::Broken(answer) => {
            let half = answer.body.iter().take(answer.body.len() / 2).copied();
            (answer, Payload::broken(half.collect()))
        }
        Fate::Cut => return Err(CutOff),
    };
    let mut response = Response::new(payload);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = parsed {
            headers.append(name, value);
        }
    }
    if let Fate::Broken(_) = fate {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
    }
    Ok(response)
}
