//! The body of an HTTP answer, which may break off in the middle.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The connection is to be closed without (the rest of) an answer. It is an error only because that is how hyper is
/// told to let go.
#[derive(Debug)]
pub(crate) struct CutOff;

impl fmt::Display for CutOff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the simulator cuts the connection")
    }
}

impl Error for CutOff {}

/// One chunk of bytes and how it ends.
#[derive(Debug)]
pub(crate) struct Payload {
    chunk: Option<Bytes>,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    /// Break off, but give the connection one turn to flush what it has.
    FlushThenCut,
    Cut,
}

impl Payload {
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self { chunk: Some(bytes.into()), ending: Ending::Whole }
    }

    /// Sends these bytes and then cuts the connection.
    pub(crate) fn broken(bytes: Vec<u8>) -> Self {
        Self { chunk: Some(bytes.into()), ending: Ending::FlushThenCut }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(chunk) = self.chunk.take() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match self.ending {
            Ending::Whole => Poll::Ready(None),
            Ending::FlushThenCut => {
                self.ending = Ending::Cut;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Cut => Poll::Ready(Some(Err(CutOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunk.as_ref().is_none_or(Bytes::is_empty) && self.ending == Ending::Whole
    }

    fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Whole => SizeHint::with_exact(self.chunk.as_ref().map_or(0, Bytes::len) as u64),
            Ending::FlushThenCut | Ending::Cut => SizeHint::default(),
        }
    }
}
