//! What is answered to a message: the phases of the protocol, and which request is whose. Nothing is read, written or waited for here.

use std::path::{Path, PathBuf};

use gen_lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProvider, CodeActionRequest, CodeActionResponse, CompletionOptions, CompletionRequest,
    CompletionResponse, DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, ErrorCodes, HoverProvider,
    HoverRequest, InitializeRequest, InitializeResult, PositionEncodingKind, PublishDiagnosticsNotification, Request, Save,
    ServerCapabilities, ServerInfo, ShutdownRequest, TextDocumentContentChangeEvent, TextDocumentPositionParams, TextDocumentSync,
    TextDocumentSyncKind, TextDocumentSyncOptions, Uri,
    json_rpc::{Error, Id, RequestObject, ResponseObject},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    completion,
    diagnostics::{self, mending},
    documents::{Document, Documents, path_of},
    hover,
    place::Place,
    position,
    site::{Looked, Site},
    wire::Received,
};
use crate::{app::check::Checked, config::Fault};

/// The server's side of the conversation.
#[derive(Debug)]
pub(super) struct Server {
    phase: Phase,
    site: Site,
    documents: Documents,
    /// Whether something has changed that no check has begun to look at.
    pub(super) is_stale: bool,
    /// What was told of settings that are not open.
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has said who they are.
    Waiting,
    Serving,
    /// It was asked to end, and waits to be told.
    Ending,
}

/// What follows a message.
#[derive(Debug)]
pub(super) enum Then {
    Answer(ResponseObject),
    Tell(RequestObject),
    Nothing,
    /// The end, and whether it was asked for in the proper way.
    End {
        is_orderly: bool,
    },
}

/// Why a request is not answered as it wishes.
type Refused = (ErrorCodes, String);

impl Server {
    pub(super) fn new(site: Site) -> Self {
        Self { phase: Phase::Waiting, site, documents: Documents::default(), is_stale: false, faults: Vec::new() }
    }

    /// Takes a message.
    pub(super) fn receive(&mut self, received: Received) -> Then {
        match received {
            Received::Answer => Then::Nothing,
            Received::Malformed(what) => {
                tracing::warn!("{what}");
                Then::Answer(refusal(Id::Null, (ErrorCodes::ParseError, what)))
            }
            Received::Call(call) => {
                let (method, id, params) = call.into_parts();
                let params = params.unwrap_or_default();
                match id {
                    Some(id) => Then::Answer(self.request(&method, id, params)),
                    None => self.notification(&method, params),
                }
            }
        }
    }

    fn request(&mut self, method: &str, id: Id, params: Value) -> ResponseObject {
        match (self.phase, method) {
            (Phase::Waiting, "initialize") => {
                self.phase = Phase::Serving;
                // Only the folder is of interest; nothing else that an editor says of itself can be wrong.
                if let Some(root) = root(&params) {
                    root.clone_into(&mut self.site.root);
                }
                ResponseObject::from_success::<InitializeRequest>(id, introduction())
            }
            (Phase::Waiting, _) => refusal(id, (ErrorCodes::ServerNotInitialized, "`initialize` comes first".to_owned())),
            (Phase::Ending, _) => refusal(id, (ErrorCodes::InvalidRequest, "after `shutdown` comes `exit`".to_owned())),
            (Phase::Serving, "shutdown") => {
                self.phase = Phase::Ending;
                ResponseObject::from_success::<ShutdownRequest>(id, ())
            }
            (Phase::Serving, "textDocument/completion") => answer::<CompletionRequest>(id, params, |params| {
                let items = self.at(&params.text_document_position_params, completion::complete);
                items.map(CompletionResponse::CompletionItemList)
            }),
            (Phase::Serving, "textDocument/hover") => {
                answer::<HoverRequest>(id, params, |params| self.at(&params.text_document_position_params, hover::hover).flatten())
            }
            (Phase::Serving, "textDocument/codeAction") => answer::<CodeActionRequest>(id, params, |params| {
                let document = self.documents.get(&params.text_document.uri)?;
                Some(mending(&params, document).into_iter().map(CodeActionResponse::CodeAction).collect())
            }),
            (Phase::Serving, "initialize") => refusal(id, (ErrorCodes::InvalidRequest, "it was initialized before".to_owned())),
            (Phase::Serving, _) => refusal(id, (ErrorCodes::MethodNotFound, format!("there is no method `{method}`"))),
        }
    }

    fn notification(&mut self, method: &str, params: Value) -> Then {
        match (self.phase, method) {
            (phase, "exit") => return Then::End { is_orderly: phase == Phase::Ending },
            (Phase::Waiting | Phase::Ending, _) => return Then::Nothing,
            (Phase::Serving, _) => {}
        }
        match method {
            "textDocument/didOpen" => self.notice(method, params, |server, params: DidOpenTextDocumentParams| {
                let document = params.text_document;
                server.documents.open(&document.uri, document.version, &document.text);
                Then::Nothing
            }),
            "textDocument/didChange" => self.notice(method, params, |server, params: DidChangeTextDocumentParams| {
                let document = params.text_document;
                // Whole texts were asked for, so only the last one counts.
                if let Some(TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(change)) = params.content_changes.last()
                {
                    server.documents.change(&document.text_document_identifier.uri, document.version, &change.text);
                }
                Then::Nothing
            }),
            "textDocument/didClose" => self.notice(method, params, |server, params: DidCloseTextDocumentParams| {
                let uri = params.text_document.uri;
                server.documents.close(&uri);
                Then::Tell(RequestObject::from_notification::<PublishDiagnosticsNotification>(diagnostics::none(&uri)))
            }),
            // Another file may be what this one refers to.
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => self.notice(method, params, |_, _: Value| Then::Nothing),
            _ => Then::Nothing,
        }
    }

    /// Takes what has changed. Nobody can be answered where it makes no sense.
    fn notice<P: DeserializeOwned>(&mut self, method: &str, params: Value, take: impl FnOnce(&mut Self, P) -> Then) -> Then {
        match serde_json::from_value(params) {
            Ok(params) => {
                self.is_stale = true;
                take(self, params)
            }
            Err(error) => {
                tracing::warn!("`{method}` cannot be understood: {error}");
                Then::Nothing
            }
        }
    }

    /// Asks about a place of an open file.
    fn at<T>(&self, asked: &TextDocumentPositionParams, ask: impl FnOnce(&Place<'_>) -> T) -> Option<T> {
        let Document { path, text, seen, .. } = self.documents.get(&asked.text_document.uri)?;
        let unknown = Checked::default();
        let checked = seen.as_ref().map_or(&unknown, |seen| &seen.checked);
        let form = self.site.form(path);
        Some(ask(&Place::new((path, form), text, position::offset(text, asked.position), checked)))
    }

    /// The check of what is open now.
    pub(super) fn check(&mut self) -> impl Future<Output = Looked> + Send + 'static {
        self.is_stale = false;
        let open = self.documents.all().map(|(uri, document)| (uri, document.clone())).collect();
        self.site.clone().look(open)
    }

    /// Takes what a check found, and says what is new about the texts of now.
    pub(super) fn publish(&mut self, looked: Looked) -> Vec<RequestObject> {
        if looked.faults != self.faults {
            for fault in &looked.faults {
                tracing::warn!("{fault}");
            }
            self.faults = looked.faults;
        }
        let current = looked.seen.into_iter().filter_map(|(uri, seen)| self.documents.see(&uri, seen).then_some(uri)).collect::<Vec<Uri>>();
        let told = current.iter().filter_map(|uri| Some(diagnostics::all(uri, self.documents.get(uri)?)));
        told.map(RequestObject::from_notification::<PublishDiagnosticsNotification>).collect()
    }
}

/// The editor's folder, by whichever name it has in the version of the protocol that the editor speaks.
fn root(params: &Value) -> Option<PathBuf> {
    let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str);
    let uri = text("/workspaceFolders/0/uri").or_else(|| text("/rootUri")).map(|uri| path_of(&Uri(uri.to_owned())));
    uri.or_else(|| text("/rootPath").map(|path| Path::new(path).to_owned())).filter(|path| path.is_absolute())
}

fn introduction() -> InitializeResult {
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        // A playbook is short; whole texts cannot be put together wrongly.
        change: Some(TextDocumentSyncKind::Full),
        save: Some(Save::Bool(true)),
        ..TextDocumentSyncOptions::default()
    };
    let asked_after = ["$", ".", ":", " ", "{", "[", "-", "\""].map(ToOwned::to_owned);
    let actions = CodeActionOptions { code_action_kinds: Some(vec![CodeActionKind::QuickFix]), ..CodeActionOptions::default() };
    InitializeResult {
        capabilities: ServerCapabilities {
            position_encoding: Some(PositionEncodingKind::UTF16),
            text_document_sync: Some(TextDocumentSync::Options(sync)),
            completion_provider: Some(CompletionOptions { trigger_characters: Some(asked_after.to_vec()), ..CompletionOptions::default() }),
            hover_provider: Some(HoverProvider::Bool(true)),
            code_action_provider: Some(CodeActionProvider::CodeActionOptions(actions)),
            ..ServerCapabilities::default()
        },
        server_info: Some(ServerInfo { name: "quell".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) }),
    }
}

fn answer<R: Request>(id: Id, params: Value, work: impl FnOnce(R::Params) -> R::Result) -> ResponseObject
where
    R::Params: DeserializeOwned,
    R::Result: Serialize,
{
    match serde_json::from_value(params) {
        Ok(params) => ResponseObject::from_success::<R>(id, work(params)),
        Err(error) => refusal(id, (ErrorCodes::InvalidParams, error.to_string())),
    }
}

fn refusal(id: Id, (code, message): Refused) -> ResponseObject {
    ResponseObject::from_error(id, Error { code, message, data: None })
}
