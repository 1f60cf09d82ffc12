//! `quell lsp` as editors use it: spoken to by Neovim's client, and byte by byte where no editor would go.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// With letters that are longer in UTF-8 than in UTF-16, before the places that are looked at.
const FILES: &[(&str, &str)] = &[
    (
        "quell.yaml",
        "channels: {'log:경보': {}} # 🔥\nbus: {prefetch: 200}\nadapters:\n  - name: siem # 경보\n    type: webhook\n    path: /hooks/siem\n    auth: none\n",
    ),
    (
        "playbooks/slips.yaml",
        "playbook: slips\nownr: 경보 # 🔥\ntrigger: {alert: {match: {kind: x}}}\nsteps:\n  - id: say\n    action: log\n    \
         with: {message: \"경보 🔥 ${alert.titel}\"}\n",
    ),
    ("playbooks/called.yaml", "playbook: called\ntrigger: {manual: {}}\nsteps:\n  - {id: say, action: log, with: {message: x}}\n"),
    (
        "playbooks/caller.yaml",
        "playbook: caller\ntrigger: {alert: {match: {kind: x}}}\nsteps:\n  - id: call\n    playbook: called\n  - id: tell\n    action: notify\n    \
         with: {channels: ['log:경보'], text: x}\n",
    ),
    ("playbooks/called.test.yaml", "tests:\n  - name: it speaks\n    inputs: {}\n    expect: {steps: {sey: succeeded}}\n"),
];

fn site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        let path = site.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    site
}

/// What Neovim saw.
fn neovim(site: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/editor/talk.lua");
    let output = Command::new("nvim")
        .args(["--headless", "--clean", "-c"])
        .arg(format!("luafile {}", script.display()))
        .env("QUELL", env!("CARGO_BIN_EXE_quell"))
        .env("QUELL_SITE", site)
        // Its log and its state stay in the folder of the test.
        .env("HOME", site)
        .env("XDG_CACHE_HOME", site.join(".cache"))
        .env("XDG_STATE_HOME", site.join(".state"))
        .output()
        .expect("this test speaks to `quell lsp` through Neovim: `apt-get install neovim`, or run `tests/run`, which does");
    let told = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn an_editor_shows_problems_completes_explains_and_mends() {
    let site = site();
    let seen = neovim(site.path());
    assert_eq!(seen["problem"], Value::Null, "{seen:#}");
    let has = |list: &str, name: &str| seen[list].as_array().unwrap().iter().any(|it| it == name);

    let problem = |code: &str| seen["problems"].as_array().unwrap().iter().find(|it| it["code"] == code).unwrap().clone();
    let (field, key) = (problem("P0012"), problem("P0002"));
    assert_eq!((&field["covered"], &field["line"], &field["source"]), (&json!("titel"), &json!(6), &json!("quell")), "{field}");
    assert!(field["message"].as_str().unwrap().contains("did you mean `title`?"), "{field}");
    assert_eq!((&key["covered"], &key["line"]), (&json!("ownr"), &json!(1)));

    assert_eq!(seen["actions"], json!(["write `owner`"]));
    assert_eq!(seen["mended"], "owner: 경보 # 🔥");
    assert!(has("action_names", "subscription.suspend") && has("action_names", "log"));
    assert!(has("parameters", "level") && !has("parameters", "message"), "{}", seen["parameters"]);
    assert!(has("fields", "severity"));
    assert!(seen["hover"].as_str().unwrap().contains("class"), "{}", seen["hover"]);
    assert_eq!(seen["channels"], json!(["log:default", "log:경보"]));
    assert!(seen["test"][0]["message"].as_str().unwrap().contains("there is no step `sey`"), "{}", seen["test"]);

    let wrong: Vec<_> =
        seen["settings"].as_array().unwrap().iter().map(|it| (it["covered"].as_str().unwrap(), it["line"].as_u64().unwrap())).collect();
    assert_eq!(wrong, [("prefetchh", 1), ("type", 4)], "{}", seen["settings"]);
    assert!(seen["settings"][0]["message"].as_str().unwrap().contains("did you mean `prefetch`?"), "{}", seen["settings"]);
    assert_eq!((&seen["unbuilt"][0]["covered"], &seen["unbuilt"][0]["line"]), (&json!("path"), &json!(5)), "{}", seen["unbuilt"]);
    assert!(seen["unbuilt"][0]["message"].as_str().unwrap().contains("must begin with `/hooks/`"), "{}", seen["unbuilt"]);
    assert!(has("adapter_types", "graph_alerts") && has("adapter_keys", "max_body") && !has("adapter_keys", "every"), "{seen:#}");
    assert!(seen["setting_hover"].as_str().unwrap().contains("If left out: `200`"), "{}", seen["setting_hover"]);
    assert_eq!(seen["unconfigured"][0]["code"], "P0026", "what is typed in the settings counts for playbooks at once");

    assert_eq!((&seen["after_closing"], &seen["exit"]), (&json!(0), &json!(0)));
}

/// A conversation byte by byte.
struct Conversation {
    server: Child,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    fn new(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quell"));
        command.arg("lsp").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let answers = BufReader::new(server.stdout.take().unwrap());
        Self { server, answers }
    }

    fn say(&mut self, bytes: &str) {
        self.server.stdin.as_mut().unwrap().write_all(bytes.as_bytes()).unwrap();
    }

    fn send(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = "2.0".into();
        let body = message.to_string();
        self.say(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    }

    /// The next message; the standard output holds nothing else.
    fn hear(&mut self) -> Value {
        let mut head = String::new();
        self.answers.read_line(&mut head).unwrap();
        let length: usize = head.trim().strip_prefix("Content-Length: ").unwrap_or_else(|| panic!("{head:?}")).parse().unwrap();
        self.answers.read_line(&mut head).unwrap();
        let mut body = vec![0; length];
        self.answers.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn ask(&mut self, id: i64, method: &str, params: &Value) -> Value {
        self.send(&json!({"id": id, "method": method, "params": params}));
        self.hear()
    }

    /// How it ended, within a while.
    fn end(mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.server.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

#[test]
fn it_keeps_to_the_order_of_the_protocol() {
    let site = site();
    let mut talk = Conversation::new(site.path());
    assert_eq!(talk.ask(1, "textDocument/hover", &json!({}))["error"]["code"], -32002);
    let introduction = talk.ask(2, "initialize", &json!({"capabilities": {"nobody": "knows"}}));
    assert_eq!(introduction["result"]["capabilities"]["positionEncoding"], "utf-16");
    talk.send(&json!({"method": "initialized", "params": {}}));
    assert_eq!(talk.ask(3, "workspace/nothing", &json!({}))["error"]["code"], -32601);
    assert_eq!(talk.ask(4, "textDocument/hover", &json!({"textDocument": 5}))["error"]["code"], -32602);
    assert_eq!(talk.ask(5, "shutdown", &Value::Null), json!({"jsonrpc": "2.0", "id": 5, "result": null}));
    assert_eq!(talk.ask(6, "textDocument/hover", &json!({}))["error"]["code"], -32600);
    talk.send(&json!({"method": "exit"}));
    assert_eq!(talk.end(), 0);
}

#[test]
fn what_is_no_message_is_told_and_does_not_end_it() {
    let site = site();
    let mut talk = Conversation::new(site.path());
    talk.say("Content-Length: 3\r\n\r\n{]}");
    assert_eq!(talk.hear()["error"]["code"], -32700);
    talk.say("hello\r\n");
    assert_eq!(talk.hear()["id"], Value::Null);
    assert!(talk.ask(1, "initialize", &json!({}))["result"].is_object());
    talk.send(&json!({"method": "textDocument/didOpen", "params": {"textDocument": "none"}}));
    assert_eq!(talk.ask(2, "shutdown", &Value::Null)["id"], 2);
    talk.send(&json!({"method": "exit"}));
    assert_eq!(talk.end(), 0);
}

#[test]
fn an_editor_that_is_gone_takes_it_along() {
    let site = site();
    let mut talk = Conversation::new(site.path());
    assert!(talk.ask(1, "initialize", &json!({}))["result"].is_object());
    drop(talk.server.stdin.take());
    assert_eq!(talk.end(), 1);
}
