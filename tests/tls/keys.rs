//! Every form of private key that OpenSSL writes.

use std::process::Command;

use crate::ca::{Pair, text};
use crate::common::process::run;
use crate::stage::{Make, publish};

#[test]
fn keys_of_every_form_serve() {
    let directory = tempfile::tempdir().expect("a directory");
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.args(args.split(' ')).current_dir(directory.path());
        run(&mut command).expect_code(0);
    };
    for make_key in [
        "genrsa -out KEY 2048",
        "genrsa -traditional -out KEY 2048",
        "ecparam -genkey -name prime256v1 -out KEY",
        "ecparam -genkey -name secp384r1 -noout -out KEY",
        "genpkey -algorithm ed25519 -out KEY",
    ] {
        openssl(&make_key.replace("KEY", "server.key"));
        openssl(
            "req -new -x509 -days 30 -key server.key -out server.crt -subj /CN=localhost -addext \
             subjectAltName=DNS:localhost",
        );
        let server = Pair {
            certificate: directory.path().join("server.crt"),
            key: directory.path().join("server.key"),
        };
        let broker = Make::Ours.broker(&server, "");
        // It is marked as a CA and stands in cafile itself.
        let ca = text(&server.certificate);
        publish(Make::Ours, &broker, &["--cafile", ca]).expect_code(0);
    }
}
