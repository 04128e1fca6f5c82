//! Enhanced authentication (MQTT 5, 4.12): what a program that embeds the
//! broker plugs in. No method is built in.

use super::Client;

/// A way to prove who one is, by questions and answers: SCRAM, Kerberos, a
/// token with a challenge.
pub trait Method: Send + Sync {
    /// The authentication method that a CONNECT names to ask for it.
    fn name(&self) -> &str;

    /// A client wants to prove who it is: at its CONNECT, or again later.
    /// `client` is who it says it is; at its CONNECT nothing of that is proven,
    /// and its client identifier may be empty. Should not take long.
    fn begin(&self, client: &Client<'_>) -> Box<dyn Exchange>;
}

/// The exchange with one client.
pub trait Exchange: Send {
    /// Takes the authentication data of the client's next packet: of CONNECT
    /// or of the AUTH that begins, then of each AUTH. May take long: it is
    /// called on a thread for such work, a bounded number at once.
    fn step(&mut self, data: Option<&[u8]>) -> Step;
}

/// What follows a client's packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client gets this and has to answer.
    Continue(Vec<u8>),
    /// It is who it says it is.
    Accept {
        /// The user name that the client goes by from here on, whatever its
        /// CONNECT said; `None`: it is anonymous. One that proves again who it
        /// is must not become somebody else: that ends the connection.
        username: Option<String>,
        /// What the client gets with the good news.
        data: Option<Vec<u8>>,
    },
    /// It is not: the connection ends.
    Deny,
}
