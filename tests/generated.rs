//! Completions, man pages and the manual of the configuration are made from the
//! same definitions as the parsers. This test tells when the files in the repository are out of date;
//! `MOUSTIQUE_WRITE=1 cargo test --test generated` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use moustique::client::cli::environment;
use moustique::config::manual;

/// The programs, with the section of their man page.
fn programs() -> Vec<(Command, &'static str)> {
    vec![
        (moustique::server::cli::command(), "8"),
        (moustique::client::cli::pub_command(), "1"),
        (moustique::client::cli::sub_command(), "1"),
        (moustique::client::cli::rr_command(), "1"),
        (moustique::auth::cli::command(), "1"),
    ]
}

#[test]
fn completions_and_man_pages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = std::env::var_os("MOUSTIQUE_WRITE").is_some();
    let mut stale = Vec::new();
    let manual = [
        ("man/moustique.conf.5", manual::man_page()),
        ("man/moustique.conf.md", manual::markdown()),
    ];
    let manual = manual.map(|(path, text)| (PathBuf::from(path), text.into_bytes()));
    let generated = programs().into_iter().flat_map(generate).chain(manual);
    for (path, content) in generated {
        let file = root.join(&path);
        if write {
            fs::create_dir_all(file.parent().unwrap_or(root)).unwrap();
            fs::write(&file, &content).unwrap();
        } else if fs::read(&file).ok().as_ref() != Some(&content) {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "out of date: {stale:?}; run MOUSTIQUE_WRITE=1 cargo test --test generated"
    );
}

/// The section of a man page on environment variables.
fn render_environment(variables: &[(String, String)], page: &mut Vec<u8>) {
    if variables.is_empty() {
        return;
    }
    let mut text = String::from(
        ".SH ENVIRONMENT\n\
         A variable that is set and not empty is an option with that value. A switch is on with\n\
         1, true, yes or on, and off with 0, false, no or off.\n\
         Where an option can be repeated, and in MQTT_PROPERTY, each line of the value is one.\n\
         Variables rank below the options file, and that below the command line: an option given\n\
         there also silences the variables of those that it cannot stand beside\n\
         (\\-m those of \\-f and \\-l, \\-L those of \\-h and \\-u).\n\
         .PP\n\
         NO_COLOR, set to anything, switches off colours that nobody asked for.\n",
    );
    for (variable, option) in variables {
        let option = option.replace('-', "\\-");
        writeln!(text, ".TP\n\\fB{variable}\\fR\nas \\fB{option}\\fR").expect("memory");
    }
    page.extend_from_slice(text.as_bytes());
}

#[test]
fn help_of_the_clients_fits_a_terminal() {
    for mut command in [
        moustique::client::cli::pub_command(),
        moustique::client::cli::sub_command(),
        moustique::client::cli::rr_command(),
    ] {
        let help = command.render_help().to_string();
        let long = help.lines().filter(|line| line.chars().count() > 80);
        let long: Vec<_> = long.collect();
        assert!(long.is_empty(), "{}: {long:#?}", command.get_name());
    }
}

/// The files of one program, by their path in the repository.
fn generate((command, section): (Command, &'static str)) -> Vec<(PathBuf, Vec<u8>)> {
    let name = command.get_name().to_owned();
    let mut files = Vec::new();
    for (shell, file) in [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut content = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut content);
        files.push((Path::new("completions").join(file), content));
    }
    let mut page = Vec::new();
    let variables = match name.as_str() {
        "mqtt-pub" | "mqtt-sub" | "mqtt-rr" => environment(&command),
        _ => Vec::new(),
    };
    let man = clap_mangen::Man::new(command).section(section).date("");
    man.render(&mut page).expect("writing to memory");
    render_environment(&variables, &mut page);
    files.push((Path::new("man").join(format!("{name}.{section}")), page));
    files
}
