//! The recipe of mosquitto-tls(7), to the letter: certificates of version 1
//! with a common name and without alternative names.

use std::path::Path;
use std::process::Command;

use crate::ca::{Pair, text};
use crate::common::Program;
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::stage::{Make, publish};

fn openssl(directory: &Path, args: &str) {
    let mut command = Command::new("openssl");
    command.args(args.split(' ')).current_dir(directory);
    run(&mut command).expect_code(0);
}

/// In version 1, as openssl up to 3.1 does it.
fn sign(directory: &Path, name: &str) {
    let args = format!(
        "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -passin pass:secret -CAcreateserial \
         -out {name}.crt -days 30"
    );
    openssl(directory, &args);
}

fn follow_recipe(directory: &Path, host: &str) -> (Pair, Pair) {
    let pair = |name: &str| Pair {
        certificate: directory.join(format!("{name}.crt")),
        key: directory.join(format!("{name}.key")),
    };
    openssl(
        directory,
        "req -new -x509 -days 30 -extensions v3_ca -keyout ca.key -out ca.crt -passout \
         pass:secret -subj /C=GB/O=Recipe/CN=CA",
    );
    for (name, subject) in [("server", host), ("client", "joe")] {
        openssl(directory, &format!("genrsa -out {name}.key 2048"));
        openssl(
            directory,
            &format!("req -out {name}.csr -key {name}.key -new -subj /C=GB/O={name}/CN={subject}"),
        );
        sign(directory, name);
    }
    (pair("server"), pair("client"))
}

#[test]
fn it_works_both_ways() {
    if !Peer::MosquittoClients.present_for("the recipe of mosquitto-tls(7)") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (server, client) = follow_recipe(directory.path(), "localhost");
    let ca = directory.path().join("ca.crt");
    let lines = format!(
        "cafile {}\nrequire_certificate true\nuse_identity_as_username true\n",
        text(&ca)
    );
    for (broker, publisher) in [
        (Make::Ours, Make::Mosquitto),
        (Make::Mosquitto, Make::Ours),
        (Make::Ours, Make::Ours),
    ] {
        let broker = broker.broker(&server, &lines);
        for version in ["tlsv1.2", "tlsv1.3"] {
            let tls = ["--cafile", text(&ca), "--tls-version", version];
            let args = [&tls[..], &client.arguments()].concat();
            publish(publisher, &broker, &args).expect_code(0);
        }
        broker.process().stderr.wait_for("u'joe'");
    }
}

/// An openssl that makes version 3 of the recipe leaves the answer to webpki.
fn is_foreign(text: &str) -> bool {
    text.contains("its signature is not that of its CA") || text.contains("no CA that is trusted")
}

#[test]
fn old_certificates_are_checked_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let (server, _) = follow_recipe(directory.path(), "localhost");
    let (_, stranger) = follow_recipe(other.path(), "localhost");
    let ca = directory.path().join("ca.crt");
    let foreign = other.path().join("ca.crt");
    let lines = format!("cafile {}\nrequire_certificate true\n", text(&ca));
    let broker = Make::Ours.broker(&server, &lines);

    // The same names, another key.
    let done = publish(Make::Ours, &broker, &["--cafile", text(&foreign)]).expect_code(8);
    assert!(is_foreign(&done.stderr), "{done}");

    let args = [&["--cafile", text(&ca)], &stranger.arguments()[..]].concat();
    publish(Make::Ours, &broker, &args).expect_code(8);
    broker.process().stderr.wait_until(is_foreign);

    let args = ["--cafile", text(&ca), "-h", "127.0.0.1"];
    let done = publish(Make::Ours, &broker, &args).expect_code(8);
    assert!(
        done.stderr
            .contains("not for '127.0.0.1' but for 'localhost'"),
        "{done}"
    );

    openssl(
        directory.path(),
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -passin pass:secret -out server.crt \
         -days -1",
    );
    let broker = Make::Ours.broker(&server, "");
    let done = publish(Make::Ours, &broker, &["--cafile", text(&ca)]).expect_code(8);
    assert!(done.stderr.contains("it has expired"), "{done}");
}

/// An address as common name, which many a course writes.
#[test]
fn a_common_name_may_be_an_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let (server, _) = follow_recipe(directory.path(), "127.0.0.1");
    let ca = directory.path().join("ca.crt");
    let broker = Make::Ours.broker(&server, "");
    let args = ["--cafile", text(&ca), "-h", "127.0.0.1"];
    publish(Make::Ours, &broker, &args).expect_code(0);
    publish(Make::Ours, &broker, &["--cafile", text(&ca)]).expect_code(8);
}

/// `genrsa -des3` of the recipe: the pass phrase is asked for.
#[test]
fn the_pass_phrase_of_a_key_is_asked_for() {
    use crate::common::broker::Setup;
    use crate::common::terminal::Terminal;
    let setup = Setup::new();
    let directory = setup.path("");
    follow_recipe(&directory, "localhost");
    openssl(
        &directory,
        "rsa -des3 -in server.key -passout pass:hello -out locked.key",
    );
    let conf = "listener {port}\nallow_anonymous true\ncertfile {dir}/server.crt\nkeyfile {dir}/locked.key\n";
    let port = setup.port().to_string();

    // Nobody to ask.
    let mut lonely = Command::new("setsid");
    let command = setup.command(conf);
    lonely
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args());
    let done = run(&mut lonely).expect_code(1);
    assert!(done.stderr.contains("openssl pkey -in"), "{done}");

    for (answer, starts) in [("wrong\n", false), ("hello\n", true)] {
        let mut terminal = Terminal::spawn(&setup.command(conf));
        terminal.wait_for_secret_prompt("Enter the pass phrase of");
        terminal.press(answer);
        if starts {
            terminal.screen.wait_for("moustique is running");
            let ca = setup.path("ca.crt");
            let mut publisher = Program::Pub.command();
            publisher.args(["-h", "localhost", "-p", &port, "--cafile", text(&ca)]);
            run(publisher.args(["-t", "t", "-m", "x", "-q", "1"])).expect_code(0);
        } else {
            terminal.screen.wait_for("the pass phrase is wrong");
            terminal.process.wait_end();
        }
    }
}
