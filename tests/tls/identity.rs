//! Clients that show who they are by a certificate.

use std::path::Path;

use crate::ca::{self, Pair, text};
use crate::common::broker::Broker;
use crate::common::peers::Peer;
use crate::stage::{Make, Stage, publish, subscribe};

fn makes() -> Vec<Make> {
    let mut makes = vec![Make::Ours];
    if Peer::MosquittoClients.present_for("client certificates of mosquitto_pub") {
        makes.push(Make::Mosquitto);
    }
    makes
}

struct Gate {
    stage: Stage,
    broker: Broker,
}

impl Gate {
    fn new(lines: impl FnOnce(&Stage) -> String) -> Self {
        let stage = Stage::new();
        let lines = format!("{}{}", stage.required(), lines(&stage));
        let broker = Make::Ours.broker(&stage.server(), &lines);
        Self { stage, broker }
    }

    #[track_caller]
    fn admits(&self, client: &Pair) {
        for make in makes() {
            let args = [&["--cafile", self.stage.ca.path()], &client.arguments()[..]].concat();
            publish(make, &self.broker, &args).expect_code(0);
        }
    }

    /// In both versions: in TLS 1.3 the client learns of it after its own
    /// handshake.
    #[track_caller]
    fn refuses(&self, client: Option<&Pair>, why: &str) {
        let client = client.map(Pair::arguments);
        for version in ["tlsv1.2", "tlsv1.3"] {
            for make in makes() {
                let before = self.broker.log().matches(why).count();
                let mut args = vec!["--cafile", self.stage.ca.path(), "--tls-version", version];
                args.extend(client.iter().flatten());
                let done = publish(make, &self.broker, &args);
                assert_ne!(done.code, Some(0), "{done}");
                let told = |log: &str| log.matches(why).count() > before;
                self.broker.process().stderr.wait_until(told);
                if make == Make::Ours {
                    let done = done.expect_code(8);
                    assert!(done.stderr.contains("certificate"), "{done}");
                }
            }
        }
    }
}

#[test]
fn bad_certificates_are_refused_and_others_notice_nothing() {
    let gate = Gate::new(|stage| {
        let crl = stage.ca.revoke(&[666]);
        format!("crlfile {}\n", text(&crl))
    });
    let (ca, directory) = (&gate.stage.ca, gate.stage.directory.path());
    let good = ca.numbered("joe", 7);
    let watcher = subscribe(
        Make::Ours,
        &gate.broker,
        &[&["--cafile", ca.path()], &good.arguments()[..]].concat(),
    );
    let cause = |why: &str| format!("the certificate of the client is refused, because {why}");
    gate.refuses(None, "it sent no certificate");
    gate.refuses(
        Some(&ca.expired(&["joe"])),
        &cause("it has expired. It is 'CN=joe,O=Course'"),
    );
    gate.refuses(
        Some(&ca.not_yet_valid(&["joe"])),
        &cause("it is not valid yet"),
    );
    gate.refuses(Some(&ca.numbered("joe", 666)), &cause("it is revoked"));
    gate.refuses(
        Some(&gate.stage.other_ca().issue_to("joe")),
        &cause("no CA"),
    );
    gate.refuses(
        Some(&ca::self_signed(directory, &["joe"])),
        &cause("it is signed by itself"),
    );
    gate.admits(&good);
    watcher.stdout.wait_for("hello");
}

#[test]
fn dates_may_be_left_unchecked_but_nothing_else() {
    let gate = Gate::new(|stage| {
        let crl = stage.ca.revoke(&[666]);
        format!(
            "crlfile {}\ndisable_client_cert_date_checks true\n",
            text(&crl)
        )
    });
    gate.admits(&gate.stage.ca.expired(&["joe"]));
    gate.admits(&gate.stage.ca.not_yet_valid(&["joe"]));
    gate.refuses(Some(&gate.stage.ca.numbered("joe", 666)), "it is revoked");
    gate.refuses(Some(&gate.stage.other_ca().expired(&["joe"])), "no CA");
}

/// The user name comes from the certificate: rules go by it, and neither
/// password file nor the name in CONNECT count.
#[test]
fn the_common_name_may_be_the_user_name() {
    let gate = Gate::new(|stage| {
        let acl = stage.directory.path().join("acl");
        std::fs::write(&acl, "user joe\ntopic readwrite t\n").expect("writing rules");
        let users = stage.directory.path().join("users");
        std::fs::write(&users, "").expect("writing users");
        format!(
            "use_identity_as_username true\nallow_anonymous false\nacl_file {}\npassword_file {}\n",
            text(&acl),
            text(&users)
        )
    });
    let ca = gate.stage.ca.path();
    let allowed = |client: &Pair, args: &[&str]| {
        let tls = ["--cafile", ca, "-V", "5"];
        let done = publish(
            Make::Ours,
            &gate.broker,
            &[&tls[..], &client.arguments(), args].concat(),
        );
        !done.stderr.contains("Not authorized")
    };
    let (joe, ann) = (gate.stage.ca.issue_to("joe"), gate.stage.ca.issue_to("ann"));
    assert!(allowed(&joe, &[]));
    assert!(allowed(&joe, &["-u", "ann", "-P", "x"]));
    assert!(!allowed(&ann, &["-u", "joe", "-P", "x"]));
    let nameless = gate.stage.ca.issue_with("x", &[], |params| {
        params.distinguished_name.remove(rcgen::DnType::CommonName);
    });
    for make in makes() {
        let args = [&["--cafile", ca], &nameless.arguments()[..]].concat();
        publish(make, &gate.broker, &args).expect_code(5);
    }
}

/// To the byte as Mosquitto writes it.
#[test]
fn the_subject_may_be_the_user_name() {
    use rcgen::DnType;
    if !Peer::MosquittoBroker.present_for("subjects as user names") {
        return;
    }
    let stage = Stage::new();
    let lines = format!("{}use_subject_as_username true\n", stage.required());
    let client = stage.ca.issue_with("Zoé, \"the\" <third>", &[], |params| {
        params.distinguished_name.push(DnType::CountryName, "GB");
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, "#1+2 ");
    });
    let name_at = |make: Make| {
        let broker = make.broker(&stage.server(), &lines);
        let args = [&["--cafile", stage.ca.path()], &client.arguments()[..]].concat();
        publish(Make::Mosquitto, &broker, &args).expect_code(0);
        let log = broker.stop().stderr;
        let start = log.find("u'").unwrap_or_else(|| panic!("no name in {log}"));
        log[start..].lines().next().map(str::to_owned)
    };
    assert_eq!(name_at(Make::Ours), name_at(Make::Mosquitto));
}

/// What `openssl ca -gencrl` writes by its default configuration is of version
/// 1.
#[test]
fn revocation_lists_of_openssl_are_understood() {
    let stage = Stage::new();
    let directory = stage.directory.path();
    let conf = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n\
                default_crl_days=30\npolicy=p\nserial=serial\nnew_certs_dir=.\n[p]\ncommonName=supplied\n";
    std::fs::write(directory.join("conf"), conf).expect("writing");
    std::fs::write(directory.join("index"), "").expect("writing");
    std::fs::write(directory.join("serial"), "10\n").expect("writing");
    openssl(
        directory,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Real -days 30",
    );
    for name in ["good", "bad"] {
        openssl(
            directory,
            &format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        );
        openssl(
            directory,
            &format!(
                "ca -config conf -batch -in {name}.csr -out {name}.crt -cert ca.crt -keyfile ca.key -days 20 -notext"
            ),
        );
    }
    openssl(
        directory,
        "ca -config conf -revoke bad.crt -cert ca.crt -keyfile ca.key",
    );
    openssl(
        directory,
        "ca -config conf -gencrl -out crl.pem -cert ca.crt -keyfile ca.key",
    );
    let lines = format!(
        "cafile {0}/ca.crt\nrequire_certificate true\ncrlfile {0}/crl.pem\n",
        text(directory)
    );
    let broker = Make::Ours.broker(&stage.server(), &lines);
    for (name, code) in [("good", 0), ("bad", 8)] {
        let client = Pair {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
        };
        let args = [&["--cafile", stage.ca.path()], &client.arguments()[..]].concat();
        publish(Make::Ours, &broker, &args).expect_code(code);
    }
    broker
        .process()
        .stderr
        .wait_for("it is revoked. It is 'CN=bad'");
}

fn openssl(directory: &Path, args: &str) {
    let mut command = std::process::Command::new("openssl");
    command.args(args.split(' ')).current_dir(directory);
    crate::common::process::run(&mut command).expect_code(0);
}
