//! A tool's connection: the first one, and those after it was lost.

use std::io;
use std::time::Duration;

use super::connection::Connection;
use super::debug;
use super::failure::Failure;
use super::texts;
use crate::client::{Client, ConnAckInfo, ConnectError, DisconnectReason};
use crate::codec::ReasonCode;
use crate::transport::{Stream, Target, connect, connect_service};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A client that knows the way to its broker.
pub(super) struct Session {
    pub(super) client: Client<Stream>,
    target: Target,
    service: Option<&'static str>,
    /// mqtt-pub and mqtt-rr print a second line when they are refused.
    second_line: bool,
    user: Option<String>,
    version: crate::codec::Version,
}

impl Session {
    pub(super) fn new(connection: &Connection, second_line: bool) -> Self {
        let mut client = Client::new(connection.options.clone());
        if connection.debug {
            client.set_tracer(debug::tracer());
        }
        Self {
            client,
            target: connection.target.clone(),
            service: connection.service,
            second_line,
            user: connection.options.username.clone(),
            version: connection.options.version,
        }
    }

    /// Connects for the first time.
    pub(super) async fn start(&mut self) -> Result<ConnAckInfo, Failure> {
        let stream = self.reach().await?;
        self.client
            .open(stream)
            .await
            .map_err(|error| self.refused(&error))
    }

    /// The same for a tool that stays: only a broker that cannot be reached,
    /// or that refuses, ends it.
    pub(super) async fn start_or_retry(&mut self) -> Result<ConnAckInfo, Failure> {
        let stream = self.reach().await?;
        match self.client.open(stream).await {
            Ok(info) => Ok(info),
            Err(ConnectError::Timeout) => self.again().await,
            Err(ConnectError::Lost(error)) if texts::tls_failure(error.as_ref()).is_none() => {
                self.again().await
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// The same, going on for as long as `patience` where the broker cannot be
    /// reached.
    pub(super) async fn start_patiently(
        &mut self,
        patience: Duration,
    ) -> Result<ConnAckInfo, Failure> {
        let failure = match self.connect().await {
            Err(error) => {
                let failure = self.unreachable(&error);
                if texts::tls_failure(Some(&error)).is_some() {
                    return Err(failure);
                }
                failure
            }
            Ok(stream) => match self.client.open(stream).await {
                Ok(info) => return Ok(info),
                Err(error) if is_final(&error) => return Err(self.refused(&error)),
                Err(error) => self.refused(&error),
            },
        };
        self.again_within(patience, failure).await
    }

    async fn reach(&self) -> Result<Stream, Failure> {
        self.connect()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    async fn connect(&self) -> io::Result<Stream> {
        match self.service {
            None => connect(&self.target).await,
            Some(service) => connect_service(service, &self.target).await,
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        texts::unreachable(error, &self.target, self.service.is_some())
    }

    /// Connects again, as often as it takes; the pauses grow. Ends only when
    /// the broker refuses.
    pub(super) async fn again(&mut self) -> Result<ConnAckInfo, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let Ok(stream) = self.connect().await else {
                continue;
            };
            match self.client.open(stream).await {
                Ok(info) => return Ok(info),
                Err(error) if is_final(&error) => return Err(self.refused(&error)),
                Err(_) => {}
            }
        }
    }

    /// The same for as long as `patience`; then it is `failure`.
    pub(super) async fn again_within(
        &mut self,
        patience: Duration,
        failure: Failure,
    ) -> Result<ConnAckInfo, Failure> {
        match tokio::time::timeout(patience, self.again()).await {
            Ok(result) => result,
            Err(_) => Err(failure),
        }
    }

    fn refused(&self, error: &ConnectError) -> Failure {
        texts::not_accepted(error, self.version, self.user.as_deref(), self.second_line)
    }
}

/// Whether the next attempt would end in the same way. Some refusals tell of a
/// server that may be well again soon.
fn is_final(error: &ConnectError) -> bool {
    match error {
        ConnectError::Refused { reason, .. } => !matches!(
            *reason,
            ReasonCode(3)
                | ReasonCode::SERVER_UNAVAILABLE
                | ReasonCode::SERVER_BUSY
                | ReasonCode::CONNECTION_RATE_EXCEEDED
        ),
        ConnectError::Lost(error) => texts::tls_failure(error.as_ref()).is_some(),
        _ => false,
    }
}

/// Whether it makes sense to connect again.
pub(super) fn is_accident(reason: &DisconnectReason) -> bool {
    match reason {
        DisconnectReason::Lost(error) => texts::tls_failure(error.as_ref()).is_none(),
        DisconnectReason::KeepAliveTimeout => true,
        _ => false,
    }
}
