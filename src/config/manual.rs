//! The manual of the configuration file, made from the table of options: as a page
//! for man(1) and as Markdown.

use std::fmt::Write as _;

use super::options::{Effect, OptionSpec, Scope};

/// A group of options in the manual.
struct Group {
    title: &'static str,
    about: String,
    options: Vec<&'static OptionSpec>,
}

fn groups() -> [Group; 4] {
    let of = |scope| {
        OptionSpec::all()
            .iter()
            .filter(move |option| option.scope == scope)
    };
    [
        Group {
            title: "Options of the broker",
            about: "They may stand anywhere and hold for the whole broker.".into(),
            options: of(Scope::Global)
                .filter(|o| o.name != "connection")
                .collect(),
        },
        Group {
            title: "Options about security",
            about:
                "They hold for all listeners, wherever they stand. After `per_listener_settings \
                    true` they hold for the `listener` that they stand below."
                    .into(),
            options: of(Scope::Security).collect(),
        },
        Group {
            title: "Options of listeners",
            about: "They hold for the `listener` that they stand below; above the first, for the \
                    default listener."
                .into(),
            options: of(Scope::Listener).collect(),
        },
        Group {
            title: "Options of bridges",
            about: "They hold for the `connection` that they stand below; that one may stand \
                    anywhere."
                .into(),
            options: OptionSpec::find("connection")
                .into_iter()
                .chain(of(Scope::Bridge))
                .collect(),
        },
    ]
}

const FORMAT: &str = "Each line is the name of an option, blanks, and its value up to the end of \
                      the line. Lines that begin with `#` are comments. Behind a value that is one \
                      word or several of a fixed form, a blank and `#` begin a comment too; where \
                      the value is a text or a path, `#` belongs to it.";

const CHECK: &str = "`mqtt-broker --test-config -c FILE` checks a file and those that it names, and \
                     prints what it says in effect. Mistakes are told all at once, each with its \
                     place and what to write instead; the exit status is then 3.";

/// What an option does in this version, and what to write instead if nothing.
fn story(option: &OptionSpec) -> String {
    let mut text = option.summary().to_owned();
    if !option.aliases.is_empty() {
        let names: Vec<_> = option
            .aliases
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = write!(text, " Also written {}.", names.join(", "));
    }
    match option.effect {
        Effect::Idle(why) => {
            let _ = write!(text, " Without effect: {why}.");
        }
        Effect::Refused { feature, harmless } => {
            let _ = write!(
                text,
                " Refused, because this version has no {} yet: {}.",
                feature.name, feature.instead
            );
            if !harmless.is_empty() {
                let words: Vec<_> = harmless.iter().map(|word| format!("`{word}`")).collect();
                let _ = write!(text, " Accepted as {}.", words.join(", "));
            }
        }
        _ => {}
    }
    text
}

/// The manual as Markdown, with one table a group.
pub fn markdown() -> String {
    let mut text = format!(
        "<!-- Made from src/config by tests/generated.rs. -->\n\n# The configuration file\n\n\
         {FORMAT}\n\n{CHECK}\n"
    );
    for group in groups() {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n| option | value | default | where | reload | what it does |\n\
             |---|---|---|---|---|---|\n",
            group.title, group.about
        );
        for option in group.options {
            let cell = |text: &str| text.replace('|', "\\|");
            let code = |text: &str| match text {
                "" => String::new(),
                text => format!("`{}`", cell(text)),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                code(option.name),
                code(option.value_form()),
                code(option.default),
                option.scope,
                if option.reloadable { "yes" } else { "no" },
                cell(&story(option)),
            );
        }
    }
    text
}

/// The manual as a page of section 5.
pub fn man_page() -> String {
    let mut page = format!(
        ".\\\" Made from src/config by tests/generated.rs.\n\
         .TH moustique.conf 5 \"\" \"moustique {}\" \"File formats\"\n\
         .SH NAME\nmoustique.conf, mosquitto.conf \\- the configuration file of mqtt-broker\n\
         .SH DESCRIPTION\n{}\n.PP\n{}\n",
        env!("CARGO_PKG_VERSION"),
        roff(FORMAT),
        roff(CHECK),
    );
    for group in groups() {
        let title = group.title.to_uppercase();
        let _ = write!(page, ".SH {title}\n{}\n", roff(&group.about));
        for option in group.options {
            let _ = write!(
                page,
                ".TP\n\\fB{}\\fR {}\n{}",
                plain(option.name),
                plain(option.value_form()),
                roff(&story(option)),
            );
            if !option.default.is_empty() {
                let _ = write!(page, " Default: \\fB{}\\fR.", plain(option.default));
            }
            page.push_str(if option.reloadable {
                " Reloaded.\n"
            } else {
                "\n"
            });
        }
    }
    page.push_str(".SH SEE ALSO\nmqtt\\-broker(8), mqtt\\-passwd(1)\n");
    page
}

/// Text for roff, with what stands in backquotes in bold.
fn roff(text: &str) -> String {
    let mut fonts = ["\\fR", "\\fB"].into_iter().cycle().skip(1);
    let parts = text.split('`').map(plain);
    parts
        .reduce(|page, part| page + fonts.next().unwrap_or_default() + &part)
        .unwrap_or_default()
}

fn plain(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    // A line that begins with a dot would be a request.
    text.replacen('.', "\\&.", usize::from(text.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_both_manuals() {
        let (page, text) = (man_page(), markdown());
        for option in OptionSpec::all() {
            assert!(
                page.contains(&format!("\\fB{}\\fR ", plain(option.name))),
                "{}",
                option.name
            );
            let row = format!("\n| `{}` |", option.name);
            assert_eq!(text.matches(&row).count(), 1, "{}", option.name);
        }
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let rows = text.lines().filter(|line| line.starts_with('|'));
        assert!(rows.into_iter().all(|line| cells(line) == 7));
    }

    #[test]
    fn roff_is_escaped() {
        assert_eq!(roff("`a-b` it's \\"), "\\fBa\\-b\\fR it\\(aqs \\e");
        assert_eq!(plain(".conf"), "\\&.conf");
    }
}
