//! In place of `psk.rs` in a build without the cargo feature `psk`: nobody can
//! have what is here.

use std::future::Ready;
use std::io;
use std::sync::Arc;

use super::failure::TlsFailure;
use super::keylog::KeyFile;
use super::server::Accepted;
use super::{Error, PskOptions};
use crate::config::Tls;
use crate::transport::Stream;

pub(super) enum Server {}

impl Server {
    pub(super) fn load(_: &Tls, _: Option<Arc<KeyFile>>) -> Result<Self, Error> {
        Err(not_built())
    }

    pub(super) fn accept(&self, _: Stream) -> Ready<Result<Accepted, Option<TlsFailure>>> {
        match *self {}
    }
}

pub(super) enum Connector {}

impl Connector {
    pub(super) fn new(_: &PskOptions) -> Result<Self, Error> {
        Err(not_built())
    }

    pub(super) fn connect(&self, _: Stream, _: &str) -> Ready<io::Result<Stream>> {
        match *self {}
    }
}

fn not_built() -> Error {
    Error::new(
        "this program was built without TLS by pre-shared keys; \
         `cargo install --path . --features psk` builds one with it",
        "that needs OpenSSL; or use certificates",
    )
}
