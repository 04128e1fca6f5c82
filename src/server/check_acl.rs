//! `mqtt-broker --check-acl`: what the configuration lets a client do, and the
//! rule that says so.

use std::fmt::Write as _;

use crate::auth::{Access, Acl, Client};
use crate::broker::Policy;
use crate::config::{Config, Listener};
use crate::topic::{is_valid_filter, is_valid_name};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) client: Client<'a>,
    pub(super) access: Access,
    /// A topic; to read, also a topic filter.
    pub(super) topic: &'a str,
    /// Only the listeners on this port.
    pub(super) port: Option<u16>,
}

/// The answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Lines for a person.
    pub(super) text: String,
    /// Whether every listener that was asked allows it.
    pub(super) allowed: bool,
}

/// Asks the access control list of each listener.
///
/// # Errors
/// The question makes no sense, or a list cannot be loaded.
pub(super) fn answer(config: &Config, question: &Question<'_>) -> Result<Answer, String> {
    let may_ask = match question.access {
        Access::Write => is_valid_name(question.topic),
        Access::Read => is_valid_filter(question.topic),
    };
    if !may_ask {
        return Err(format!(
            "'{}' is no topic; name the one that the client publishes to, without wildcards",
            question.topic
        ));
    }
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .filter(|listener| question.port.is_none_or(|port| port == listener.port))
        .collect();
    if listeners.is_empty() {
        let ports: Vec<_> = config
            .listeners
            .iter()
            .map(|l| l.port.to_string())
            .collect();
        return Err(format!(
            "no listener has this port; the configuration has {}",
            ports.join(", ")
        ));
    }
    let mut answer = Answer {
        text: String::new(),
        allowed: true,
    };
    let mut told: Vec<&Listener> = Vec::new();
    for listener in &listeners {
        // What was said about one list needs not be said again.
        let same = |known: &&Listener| {
            known.security == listener.security
                && known.use_username_as_clientid == listener.use_username_as_clientid
                && known.mount_point == listener.mount_point
        };
        if told.iter().any(same) {
            continue;
        }
        told.push(listener);
        let mut question = *question;
        if let Some(name) = question
            .client
            .username
            .filter(|_| listener.use_username_as_clientid)
        {
            question.client.client_id = name;
        }
        let (allowed, why) = ask(listener, &question)?;
        answer.allowed &= allowed;
        if listeners.len() > 1 {
            let ports = listeners.iter().filter(|other| same(other));
            let ports: Vec<_> = ports.map(|l| l.port.to_string()).collect();
            let _ = write!(answer.text, "port {}: ", ports.join(", "));
        }
        let _ = writeln!(answer.text, "{why}");
        for note in notes(listener, &question, &why) {
            let _ = writeln!(answer.text, "note: {note}");
        }
    }
    Ok(answer)
}

fn ask(listener: &Listener, question: &Question<'_>) -> Result<(bool, String), String> {
    let Question { client, access, .. } = question;
    let topic = &format!("{}{}", listener.mount_point, question.topic);
    let acl = match &listener.security.acl_file {
        Some(path) => Some(Acl::load(path).map_err(|error| error.to_string())?),
        None => None,
    };
    if !is_valid_name(topic) {
        return Ok(match &acl {
            None => (true, everything()),
            Some(acl) => {
                let decision = acl.check_filter(client, topic);
                (decision.allowed, decision.to_string())
            }
        });
    }
    let policy = Policy {
        acl: acl.map(Into::into),
        ..Policy::default()
    };
    if let Some(denial) = policy.denial(client, *access, topic) {
        return Ok((false, denied(&denial.to_string())));
    }
    let why = match &policy.acl {
        None => everything(),
        Some(acl) => acl.check(client, *access, topic).to_string(),
    };
    Ok((true, why))
}

fn everything() -> String {
    "allowed: there is no acl_file, so everyone may do everything".into()
}

fn denied(why: &str) -> String {
    if why.starts_with("denied") {
        why.to_owned()
    } else {
        format!("denied: {why}")
    }
}

/// What else decides about such a client.
fn notes(listener: &Listener, question: &Question<'_>, why: &str) -> Vec<&'static str> {
    let Client {
        client_id,
        username,
    } = question.client;
    let mut notes = Vec::new();
    if !listener.mount_point.is_empty() {
        notes.push("the rules are asked for the whole topic, with the mount_point of the listener");
    }
    if username.is_none() && !listener.security.allow_anonymous {
        notes.push("clients without a user name are not let in here (allow_anonymous)");
    }
    if client_id.is_empty() && listener.security.acl_file.is_some() && !why.contains("allowed by") {
        notes.push("for rules with %c, name the client by --client-id");
    }
    notes
}
