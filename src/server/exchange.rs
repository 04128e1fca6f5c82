//! Enhanced authentication (4.12): the methods that were plugged in, and the
//! steps of their exchanges on threads of their own kind.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::auth::{Client, Exchange, Method, Step};
use crate::broker::ProofRequest;

/// The methods by their names.
#[derive(Default)]
pub(super) struct Methods(Mutex<Vec<Arc<dyn Method>>>);

impl Methods {
    /// Adds a method, in the place of one with the same name.
    pub(super) fn add(&self, method: Arc<dyn Method>) {
        let mut methods = self.0.lock();
        methods.retain(|known| known.name() != method.name());
        methods.push(method);
    }

    /// The method of that name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<dyn Method>> {
        let methods = self.0.lock();
        let found = methods.iter().find(|method| method.name() == name);
        found.cloned()
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.0.lock();
        let names = methods.iter().map(|method| method.name().to_owned());
        f.debug_list().entries(names).finish()
    }
}

/// Runs one step. What the exchange needs for the next comes back with it; a
/// method that panics denies.
pub(super) async fn step(
    hashing: Arc<Semaphore>,
    mut exchange: Box<dyn Exchange>,
    data: Option<Vec<u8>>,
) -> (Step, Option<Box<dyn Exchange>>) {
    let Ok(permit) = hashing.acquire_owned().await else {
        return (Step::Deny, None);
    };
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let step = exchange.step(data.as_deref());
        (step, Some(exchange))
    });
    work.await.unwrap_or((Step::Deny, None))
}

/// A client's new proof of who it is, on a connection that is open.
pub(super) enum Renewal {
    /// The client has to answer.
    Waiting(Box<dyn Exchange>),
    Running(JoinHandle<(Step, Option<Box<dyn Exchange>>)>),
}

impl Renewal {
    /// Begins the step that a client asked for. `None`: there is nothing to
    /// take it any more.
    pub(super) fn run(
        earlier: Option<Self>,
        request: ProofRequest,
        methods: &Methods,
        hashing: &Arc<Semaphore>,
    ) -> Option<Self> {
        let exchange = match earlier {
            Some(Self::Waiting(exchange)) if !request.begins => exchange,
            _ => methods.find(&request.method)?.begin(&Client {
                client_id: &request.client_id,
                username: request.username.as_deref(),
            }),
        };
        let step = step(Arc::clone(hashing), exchange, request.data);
        Some(Self::Running(tokio::spawn(step)))
    }

    /// The outcome of the step that runs.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(Step, Option<Box<dyn Exchange>>)> {
        match self {
            Self::Waiting(_) => Poll::Pending,
            Self::Running(step) => Pin::new(step)
                .poll(context)
                .map(|outcome| outcome.unwrap_or((Step::Deny, None))),
        }
    }
}
