//! Where the broker listens and whom it lets in.

use crate::common::Program;
use crate::common::broker::{Broker, Setup, free_port};
use crate::common::process::Process;
use crate::common::raw::{Connect, Raw};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// An address of this machine that a listener on 127.0.0.1 does not serve.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn listens_everywhere(port: u16) -> bool {
    TcpStream::connect((OTHER, port)).is_ok()
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The return code of an anonymous CONNECT.
fn anonymous(port: u16) -> u8 {
    let mut client = Raw::open(port);
    client.send(&Connect::new("anonymous").bytes());
    client.packet()[3]
}

#[test]
fn without_a_file_it_serves_this_machine_only_and_everybody_on_it() {
    let setup = Setup::new();
    let mut command = Program::Broker.command();
    command.args(["-v", "-p", &setup.port().to_string()]);
    let broker = setup.start_command(command);
    assert_eq!(anonymous(broker.port), 0);
    assert!(!listens_everywhere(broker.port));
    if has_ipv6() {
        let ipv6 = TcpStream::connect((Ipv6Addr::LOCALHOST, broker.port));
        assert!(ipv6.is_ok(), "{ipv6:?}");
    }
    // One line says what to write to accept other machines.
    let stderr = &broker.process().stderr;
    stderr.wait_until(|log| log.lines().any(|line| line.contains("listener")));
}

#[test]
fn a_listener_serves_all_addresses_and_nobody_without_a_name() {
    let broker = Broker::start("listener {port}\n");
    assert!(listens_everywhere(broker.port));
    assert_eq!(anonymous(broker.port), 5);
}

#[test]
fn the_word_port_means_the_same() {
    let broker = Broker::start("port {port}\n");
    assert!(listens_everywhere(broker.port));
    assert_eq!(anonymous(broker.port), 5);
}

#[test]
fn a_listener_with_an_address_serves_that_one() {
    for address in ["127.0.0.1", "localhost"] {
        let conf = format!("listener {{port}} {address}\nallow_anonymous true\n");
        let broker = Broker::start(&conf);
        assert!(!listens_everywhere(broker.port));
        assert_eq!(anonymous(broker.port), 0);
    }
}

#[test]
fn several_listeners() {
    let second = free_port();
    let conf = format!("listener {{port}}\nlistener {second}\nallow_anonymous true\n");
    let broker = Broker::start(&conf);
    assert_eq!(anonymous(broker.port), 0);
    assert_eq!(anonymous(second), 0);
}

#[test]
fn a_port_of_the_command_line_yields_to_the_files_listeners() {
    let setup = Setup::new();
    let ignored = free_port();
    let mut command = setup.command("listener {port}\nallow_anonymous true\n");
    command.args(["-p", &ignored.to_string()]);
    let broker = setup.start_command(command);
    assert_eq!(anonymous(broker.port), 0);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, ignored)).is_err());
}

#[test]
fn comments_at_the_end_of_a_line() {
    let broker = Broker::start(
        "# the lab\n\
         listener {port}   # A ajouter\n\
         allow_anonymous true # oui\n\
         max_inflight_messages 20 \t # vingt\n",
    );
    assert_eq!(anonymous(broker.port), 0);
}

#[test]
fn blanks_tabs_and_the_line_ends_of_windows() {
    let broker = Broker::start("\r\n  \nlistener {port}\r\nallow_anonymous   true\r\n");
    assert_eq!(anonymous(broker.port), 0);
}

#[test]
fn a_directory_of_further_files_is_read_in_order() {
    let setup = Setup::new();
    std::fs::create_dir(setup.path("conf.d")).expect("a directory");
    setup.write("conf.d/a.conf", "listener {port}\nallow_anonymous false\n");
    setup.write("conf.d/b.conf", "allow_anonymous true\n");
    setup.write("conf.d/notes.txt", "this is no option\n");
    let broker = setup.start("include_dir {dir}/conf.d\n");
    assert_eq!(anonymous(broker.port), 0);
}

#[test]
fn the_address_of_the_old_port() {
    let broker = Broker::start("port {port}\nbind_address 127.0.0.1\nallow_anonymous true\n");
    assert!(!listens_everywhere(broker.port));
    assert_eq!(anonymous(broker.port), 0);
}

#[test]
fn an_interface_is_the_only_one() {
    // To ask the system for it takes a right that not every user has.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let broker = Broker::start("listener {port}\nbind_interface lo\nallow_anonymous true\n");
    assert_eq!(anonymous(broker.port), 0);
    let setup = Setup::new();
    let conf = "listener {port}\nbind_interface nosuch0\n";
    let broken = Process::spawn(&mut setup.command(conf));
    broken.wait_end();
    assert!(broken.stderr.whole().contains("cannot listen on"));
}

#[test]
fn one_family_of_addresses_alone() {
    if !has_ipv6() {
        return;
    }
    let broker = Broker::start("listener {port}\nsocket_domain ipv4\nallow_anonymous true\n");
    assert_eq!(anonymous(broker.port), 0);
    assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, broker.port)).is_err());
}

#[test]
fn a_listener_of_its_own_opinion_about_names() {
    let second = free_port();
    let conf = format!(
        "listener {{port}}\nlistener_allow_anonymous true\nlistener_auto_id_prefix salon-\n\
         listener {second}\nlog_type all\n"
    );
    let broker = Broker::start(&conf);
    assert_eq!(anonymous(broker.port), 0);
    assert_eq!(anonymous(second), 5);
    let mut nameless = Raw::open(broker.port);
    nameless.send(&Connect::new("").bytes());
    assert_eq!(nameless.packet()[3], 0);
    let stderr = &broker.process().stderr;
    stderr.wait_until(|log| log.contains(" as salon-"));
}

/// Programs that start at the same time inherit every socket for a moment. A
/// listener among them took clients in the place of a test's broker.
#[test]
fn nobody_listens_on_a_port_that_a_test_was_given() {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    Command::new("true").status().expect("true");
                }
            });
        }
        let taken =
            (0..3000).filter(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, free_port())).is_ok());
        let taken = taken.count();
        over.store(true, Ordering::Relaxed);
        assert_eq!(taken, 0);
    });
}
