//! The servers of a service by SRV records (RFC 2782), asked for at the name
//! servers of the system: those of `/etc/resolv.conf`.
//!
//! Questions go out over UDP, and over TCP where an answer is too long for a
//! datagram (RFC 1035, RFC 7766).

mod ask;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};
use simple_dns::rdata::SRV;

use super::connect::LookupError;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

/// One server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where to ask, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolver {
    name_servers: Vec<SocketAddr>,
    /// How long each name server may take, each time.
    patience: Duration,
    attempts: u32,
    /// What is tried behind a name that doesn't exist as it is.
    search: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    port: u16,
    host: String,
}

impl From<&SRV<'_>> for Record {
    fn from(srv: &SRV<'_>) -> Self {
        Self {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: srv.target.to_string(),
        }
    }
}

/// The domain that this machine is in, if it has been told: by
/// `/etc/resolv.conf`, or by its own name.
pub fn local_domain() -> Option<String> {
    let config = system().ok()?;
    let searched = || config.get_search()?.first().cloned();
    config
        .get_domain()
        .cloned()
        .or_else(searched)
        .or_else(|| config.get_system_domain())
}

/// What `/etc/resolv.conf` says. Without that file there is a name server on
/// this machine (resolv.conf(5)).
fn system() -> io::Result<Config> {
    match fs::read(RESOLV_CONF) {
        // Lines that make no sense are passed over, as by everybody else.
        Ok(text) => Ok(Config::parse_with_errors(&text).0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::new()),
        Err(error) => Err(error),
    }
}

impl Resolver {
    /// The name servers of the system.
    pub(super) fn of_system() -> io::Result<Self> {
        let config = system()?;
        Ok(Self {
            name_servers: config
                .get_nameservers_or_local()
                .iter()
                .filter_map(address)
                .collect(),
            patience: Duration::from_secs(config.timeout.max(1).into()),
            attempts: config.attempts.max(1),
            search: config.get_last_search_or_domain().cloned().collect(),
        })
    }

    /// The servers of a service such as `_mqtt._tcp.example.org`, in the order
    /// in which to try them; one at least.
    ///
    /// # Errors
    /// No name server answers, or there is no such service.
    pub(super) async fn servers(&self, service: &str) -> io::Result<Vec<Server>> {
        let mut records = self.records(service).await?;
        // 'A Target of "." means that the service is decidedly not available.'
        records.retain(|record| !record.host.is_empty());
        if records.is_empty() {
            let what = format!("there are no SRV records of {service}");
            return Err(LookupError::wrap(what));
        }
        let ordered = in_order(records, || getrandom::u32().unwrap_or_default());
        let server = |Record { host, port, .. }| Server { host, port };
        Ok(ordered.into_iter().map(server).collect())
    }

    /// The records of a name, as it is or in one of the domains that are
    /// searched.
    async fn records(&self, name: &str) -> io::Result<Vec<Record>> {
        let (name, searched) = match name.strip_suffix('.') {
            Some(name) => (name, &[][..]),
            None => (name, &self.search[..]),
        };
        let in_domains = searched.iter().map(|domain| format!("{name}.{domain}"));
        for name in std::iter::once(name.to_owned()).chain(in_domains) {
            let records = self.ask(&name).await?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }
}

/// A name server of IPv6 may have the interface with it: `fe80::1%eth0`.
fn address(name_server: &ScopedIp) -> Option<SocketAddr> {
    let text = name_server.to_string();
    (text.as_str(), DNS_PORT).to_socket_addrs().ok()?.next()
}

/// By priority, and within one at random, by weight (RFC 2782, 'Usage rules').
fn in_order(mut records: Vec<Record>, mut random: impl FnMut() -> u32) -> Vec<Record> {
    // Weight 0 comes first, so that it has a small chance, too.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let rivals = records
            .iter()
            .take_while(|record| record.priority == first.priority);
        let running: Vec<u32> = rivals
            .scan(0, |sum, record| {
                *sum += u32::from(record.weight);
                Some(*sum)
            })
            .collect();
        let drawn = random() % (running.last().copied().unwrap_or(0) + 1);
        let chosen = running.iter().position(|&sum| sum >= drawn).unwrap_or(0);
        ordered.push(records.remove(chosen));
    }
    ordered
}
