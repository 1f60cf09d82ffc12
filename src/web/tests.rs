//! The web over real sockets.
