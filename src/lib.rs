//! Quell: an event-driven response engine for security teams at Microsoft cloud partners.
//!
//! The modules stand in reading order: first the words, then the ground, then the path of an alert, then the edge.
//! `docs/ARCHITECTURE.md` is the map; `tests/tidy.rs` holds the tree to it.

// Words: plain data, no I/O.
pub mod alert;
pub mod approval;
pub mod clock;
pub mod digest;
pub mod duration;
pub mod mention;
pub mod news;
pub mod people;
pub mod problem;
pub mod retry;
pub mod run;
pub mod secret;
pub mod window;
mod word;

// Ground: tasks and their end, logs and metrics, the one HTTP client, the one script engine, where tests let it die.
pub mod expression;
mod failpoints;
pub mod lifecycle;
pub mod net;
pub mod telemetry;

// The path of an alert.
pub mod actions;
pub mod adapters;
pub mod bus;
pub mod channels;
pub mod connections;
pub mod engine;
pub mod playbook;
pub mod store;

// The edge.
pub mod app;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod lsp;
pub mod trial;
pub mod web;
