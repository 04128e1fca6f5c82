//! From the text of the files to a draft: typed values, each with its place.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::line::Line;
use super::options::{Effect, Feature, OptionSpec, Repeat, Scope, Structure};
use super::value::{self, Change, Fault, Kind};
use super::{Bind, Bridge, Config, Diagnostic, Listener, Location};

/// What the files say, before it is known for which listener it holds.
#[derive(Default)]
pub(super) struct Draft {
    /// The lines above the first `listener` of a file.
    pub(super) preamble: Entries,
    /// Each `listener` with the lines below it.
    pub(super) sections: Vec<Section>,
    /// Each `connection` with the lines below it.
    pub(super) bridges: Vec<BridgeSection>,
    pub(super) globals: Vec<Entry<Config>>,
    /// `port`: the port of the default listener, and where it was asked for.
    pub(super) port: Option<(u16, Location)>,
    /// `bind_address`: its address.
    pub(super) bind_address: Option<(String, Location)>,
    pub(super) per_listener: bool,
    /// Files and folders that were read, or should have been.
    pub(super) sources: Vec<PathBuf>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where an option was given last.
    seen: HashMap<(&'static str, Place), Location>,
    entries_read: usize,
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Everything,
    Section(usize),
    Bridge(usize),
}

/// A `listener` and the lines below it.
pub(super) struct Section {
    pub(super) port: u16,
    pub(super) bind: Bind,
    /// An error that underlines the `listener`, to be filled in.
    pub(super) mistake: Diagnostic,
    pub(super) entries: Entries,
}

/// A `connection` and the lines below it.
pub(super) struct BridgeSection {
    pub(super) bridge: Bridge,
    pub(super) entries: Vec<Entry<Bridge>>,
    /// An error that underlines the `connection`, to be filled in.
    pub(super) mistake: Diagnostic,
    /// Whether some line has a mistake, so that the whole cannot be judged.
    pub(super) is_broken: bool,
}

/// Lines that say something about listeners, in their order.
#[derive(Default)]
pub(super) struct Entries(pub(super) Vec<Entry<Listener>>);

/// A line with a value.
pub(super) struct Entry<T: 'static> {
    pub(super) option: &'static OptionSpec,
    /// The value as one would write it, without a comment.
    pub(super) value: String,
    pub(super) change: Change<T>,
    /// A warning that underlines the line, to be filled in.
    pub(super) warning: Diagnostic,
    /// The place in the order of reading, over all files and listeners.
    pub(super) order: usize,
}

/// Where an `include_dir` may lead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file that the broker was started with.
    Main,
    /// A file found through `include_dir`.
    Included,
    /// Text without a file.
    Text,
}

/// What the lines of one file belong to. Each file begins anew.
struct Cursor {
    origin: Origin,
    section: Option<usize>,
    bridge: Option<usize>,
    /// Whether a `listener` came after the `connection`.
    left_bridge: bool,
}

impl Cursor {
    fn place(&self, option: &OptionSpec, per_listener: bool) -> Place {
        let section = self.section.map_or(Place::Everything, Place::Section);
        match option.scope {
            Scope::Bridge => self.bridge.map_or(Place::Everything, Place::Bridge),
            Scope::Listener => section,
            Scope::Security if per_listener => section,
            Scope::Security | Scope::Global => Place::Everything,
        }
    }
}

impl Draft {
    /// Reads a file; one that cannot be read is a mistake of whoever named it.
    pub(super) fn read_file(&mut self, path: &Path, origin: Origin) {
        self.sources.push(path.to_owned());
        let name = path.display().to_string();
        let problem = match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => return self.read_text(&text, &name, origin),
            Ok(Err(error)) => not_text(&name, error.as_bytes(), error.utf8_error().valid_up_to()),
            Err(error) => Diagnostic::error(
                Location::whole(&name),
                format!("cannot read the configuration: {error}"),
            )
            .with_help("write the path of a file that this user can read"),
        };
        self.diagnostics.push(problem);
    }

    pub(super) fn read_text(&mut self, text: &str, name: &str, origin: Origin) {
        let file = Arc::from(name);
        let mut cursor = Cursor {
            origin,
            section: None,
            bridge: None,
            left_bridge: false,
        };
        for line in Line::all(&file, text) {
            if let Err(diagnostic) = self.read_line(&line, &mut cursor) {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn read_line(&mut self, line: &Line<'_>, cursor: &mut Cursor) -> Result<(), Diagnostic> {
        let option = OptionSpec::find(line.name()).ok_or_else(|| {
            let error = line.error(format!("unknown option `{}`", line.name()));
            match OptionSpec::nearest(line.name()) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error.with_help(
                    "remove the line; moustique.conf(5) lists the options, and a comment \
                     begins with `#`",
                ),
            }
        })?;
        if option.scope != Scope::Bridge {
            return self.read_option(option, line, cursor);
        }
        let Some(index) = cursor.bridge else {
            return Err(line
                .error(format!("`{}` stands above every `connection`", line.name()))
                .with_help("write `connection NAME` above the lines of the bridge"));
        };
        if cursor.left_bridge {
            let name = &self.bridges[index].bridge.name;
            let message = format!("`{}` is taken for connection `{name}`", line.name());
            let help = "move it up to the other lines of that connection";
            self.diagnostics.push(line.warning(message).with_help(help));
        }
        let read = self.read_option(option, line, cursor);
        self.bridges[index].is_broken |= read.is_err();
        read
    }

    fn read_option(
        &mut self,
        option: &'static OptionSpec,
        line: &Line<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), Diagnostic> {
        let is_judged_below = matches!(
            option.effect,
            Effect::Refused { .. } | Effect::Structure(Structure::Connection)
        );
        if line.value().is_empty() && !is_judged_below {
            return Err(lacks_value(line));
        }
        self.note_repetition(option, line, cursor.place(option, self.per_listener))?;
        match &option.effect {
            Effect::Global(kind) => {
                let entry = self.read_entry(option, kind, line)?;
                self.globals.push(entry);
            }
            Effect::Listener(kind) => {
                let entry = self.read_entry(option, kind, line)?;
                self.entries(cursor.section).0.push(entry);
            }
            Effect::Bridge(kind) => {
                let entry = self.read_entry(option, kind, line)?;
                if let Some(section) = cursor.bridge.map(|index| &mut self.bridges[index]) {
                    (entry.change)(&mut section.bridge);
                    section.entries.push(entry);
                }
            }
            Effect::Structure(structure) => self.read_structure(structure, line, cursor)?,
            Effect::Idle(why) => self.diagnostics.push(
                line.warning(format!("`{}` has no effect: {why}", line.name()))
                    .with_help("remove the line"),
            ),
            Effect::Refused { feature, harmless } => {
                if !harmless.contains(&value::first_word(line.value())) {
                    return Err(refusal(line, feature));
                }
            }
        }
        Ok(())
    }

    /// Reads the value of an ordinary option, and tells of what follows it.
    fn read_entry<T>(
        &mut self,
        option: &'static OptionSpec,
        kind: &Kind<T>,
        line: &Line<'_>,
    ) -> Result<Entry<T>, Diagnostic> {
        let value = kind.extent(line.value());
        let change = kind.read(value).map_err(|fault| explain(line, fault))?;
        if let Kind::Topic(_) = kind
            && !value.ends_with('/')
        {
            let message = format!("`{value}` runs into the first level of each topic");
            let help = format!("write `{} {value}/` for a level of its own", line.name());
            self.diagnostics.push(line.warning(message).with_help(help));
        } else if kind.takes_all(line.value()) && value.contains(" #") {
            let message = format!("everything behind `{}` is its value, `#` too", line.name());
            self.diagnostics.push(
                line.warning(message)
                    .with_help("give the comment a line of its own"),
            );
        } else {
            self.note_rest(line, value.len());
        }
        self.entries_read += 1;
        Ok(Entry {
            option,
            value: kind.canonical(value),
            change,
            warning: line.warning(""),
            order: self.entries_read,
        })
    }

    /// Tells of words that Mosquitto would pass over without a word.
    fn note_rest(&mut self, line: &Line<'_>, read: usize) {
        let rest = line.value()[read..].trim_start();
        if !rest.is_empty() && !rest.starts_with('#') {
            self.diagnostics.push(
                line.warning(format!("`{rest}` is passed over"))
                    .with_help("remove it, or write `#` before a comment"),
            );
        }
    }

    /// Tells of an option that is given again for the same thing.
    fn note_repetition(
        &mut self,
        option: &'static OptionSpec,
        line: &Line<'_>,
        place: Place,
    ) -> Result<(), Diagnostic> {
        let is_log_file = option.name == "log_dest" && value::first_word(line.value()) == "file";
        if is_log_file && let Some(earlier) = self.see("log_dest file", place, line) {
            return Err(line
                .error(format!("`log_dest file` is already given at {earlier}"))
                .with_help("keep one of the two; the log goes to one file"));
        }
        let Some(earlier) = self.see(option.name, place, line) else {
            return Ok(());
        };
        let help = match option.name {
            "addresses" => "write all addresses on one line, separated by blanks",
            _ if option.scope == Scope::Security && !self.per_listener => {
                "keep one of the two; to have one for each listener, write \
                 `per_listener_settings true` as the first line"
            }
            _ => "keep one of the two",
        };
        match option.repeat {
            Repeat::Counts | Repeat::Adds(_) => {}
            Repeat::Replaces => self.diagnostics.push(
                line.warning(format!("this replaces the `{}` at {earlier}", option.name))
                    .with_help(help),
            ),
            Repeat::Forbidden => {
                return Err(line
                    .error(format!("`{}` is already given at {earlier}", option.name))
                    .with_help(help));
            }
        }
        Ok(())
    }

    /// Remembers where an option is, and answers where it was before.
    fn see(&mut self, name: &'static str, place: Place, line: &Line<'_>) -> Option<Location> {
        self.seen.insert((name, place), line.location())
    }

    fn entries(&mut self, section: Option<usize>) -> &mut Entries {
        match section {
            Some(index) => &mut self.sections[index].entries,
            None => &mut self.preamble,
        }
    }

    fn read_structure(
        &mut self,
        structure: &Structure,
        line: &Line<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), Diagnostic> {
        let word = value::first_word(line.value());
        match structure {
            Structure::Listener => {
                let read = self.read_listener(line);
                // A wrong listener gets a section too, so that the lines below
                // it are not taken for lines of the one above.
                let (port, bind) = read.clone().unwrap_or((0, Bind::Any));
                cursor.section = Some(self.sections.len());
                cursor.left_bridge = cursor.bridge.is_some();
                self.sections.push(Section {
                    port,
                    bind,
                    mistake: line.error(""),
                    entries: Entries::default(),
                });
                read?;
            }
            Structure::Port => {
                let port = read_port(line, word)?;
                self.note_rest(line, word.len());
                self.port = Some((port, line.location()));
            }
            Structure::BindAddress => {
                self.note_rest(line, word.len());
                self.bind_address = Some((word.to_owned(), line.location()));
            }
            Structure::PerListenerSettings => {
                let flag = value::flag(word).map_err(|fault| explain(line, fault))?;
                self.note_rest(line, word.len());
                let mut sections = self.sections.iter().map(|section| &section.entries);
                let has_security = |entries: &Entries| entries.has_scope(Scope::Security);
                if flag && (has_security(&self.preamble) || sections.any(has_security)) {
                    return Err(line
                        .error("`per_listener_settings` comes too late")
                        .with_help("write it as the first line, above what it is about"));
                }
                self.per_listener = flag;
            }
            Structure::IncludeDir => self.include(line, cursor.origin)?,
            Structure::Connection => self.read_connection(line, word, cursor)?,
        }
        Ok(())
    }

    /// Begins a bridge. A wrong `connection` begins one too, so that the lines
    /// below it are not blamed for it.
    fn read_connection(
        &mut self,
        line: &Line<'_>,
        name: &str,
        cursor: &mut Cursor,
    ) -> Result<(), Diagnostic> {
        let mut sections = self.bridges.iter();
        let earlier = sections.find(|known| known.bridge.name == name);
        let problem = if name.is_empty() {
            Some(lacks_value(line))
        } else {
            earlier.map(|earlier| {
                let place = &earlier.mistake.location;
                let message = format!("connection `{name}` is already at {place}");
                line.value_error(0..name.len(), message)
                    .with_help("give each connection a name of its own")
            })
        };
        cursor.bridge = Some(self.bridges.len());
        cursor.left_bridge = false;
        self.bridges.push(BridgeSection {
            bridge: Bridge::new(name, line.location()),
            entries: Vec::new(),
            mistake: line.error(""),
            is_broken: problem.is_some(),
        });
        self.note_rest(line, name.len());
        problem.map_or(Ok(()), Err)
    }

    fn read_listener(&mut self, line: &Line<'_>) -> Result<(u16, Bind), Diagnostic> {
        let mut words = line
            .value()
            .split([' ', '\t'])
            .filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        let second = words.next().filter(|word| !word.starts_with('#'));
        if first == "0"
            && let Some(path) = second
        {
            return Ok((0, Bind::Unix(path.into())));
        }
        if let Some(path) = second.filter(|host| host.starts_with('/')) {
            return Err(line
                .value_error(0..first.len(), "a Unix socket has no port")
                .with_help(format!("write `listener 0 {path}`")));
        }
        if looks_like_host(first) {
            if let Some(port) = second.filter(|word| word.parse::<u16>().is_ok()) {
                return Err(line
                    .value_error(0..line.value().len(), "the port comes first")
                    .with_help(format!("write `listener {port} {first}`")));
            }
            self.diagnostics.push(
                line.warning(format!("`{first}` is taken for an address, with port 1883"))
                    .with_help(format!("write `listener 1883 {first}`")),
            );
            return Ok((Listener::DEFAULT_PORT, Bind::Host(first.to_owned())));
        }
        let port = read_port(line, first)?;
        if second.is_some()
            && let Some(rest) = words.next().filter(|word| !word.starts_with('#'))
        {
            self.diagnostics
                .push(line.warning(format!("`{rest}` is passed over")).with_help(
                    "a listener has one port and one address; write another `listener` \
                     line for another address",
                ));
        }
        let bind = second.map_or(Bind::Any, |host| Bind::Host(host.to_owned()));
        Ok((port, bind))
    }

    fn include(&mut self, line: &Line<'_>, origin: Origin) -> Result<(), Diagnostic> {
        match origin {
            Origin::Main => {}
            Origin::Included => {
                let message = "`include_dir` has no effect in a file that is itself included";
                let help = "write it in the main file";
                self.diagnostics.push(line.warning(message).with_help(help));
                return Ok(());
            }
            Origin::Text => {
                return Err(line
                    .error("`include_dir` needs a file that contains it")
                    .with_help("load the configuration from a file"));
            }
        }
        let directory = Path::new(line.value());
        self.sources.push(directory.to_owned());
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| {
            line.value_error(0..line.value().len(), format!("cannot read it: {error}"))
                .with_help("write the path of a directory that this user can read")
        })?;
        let mut files: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
        files.retain(|path| path.as_os_str().as_encoded_bytes().ends_with(b".conf"));
        files.sort_by_key(|path| load_order(path));
        for file in files {
            self.read_file(&file, Origin::Included);
        }
        Ok(())
    }
}

/// Where a file stands among those of an `include_dir`: letters by the alphabet,
/// each as a capital before it is small, all else by its byte. This is so in
/// every locale.
fn load_order(path: &Path) -> Vec<(u8, u8)> {
    let name = path.as_os_str().as_encoded_bytes();
    name.iter()
        .map(|byte| (byte.to_ascii_uppercase(), *byte))
        .collect()
}

/// A file whose bytes from `valid` on are not UTF-8.
fn not_text(name: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = bytes[start..].split(|byte| *byte == b'\n').next();
    let location = Location {
        file: name.into(),
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    };
    let shown = String::from_utf8_lossy(line.unwrap_or_default());
    Diagnostic {
        excerpt: Some((shown.trim_end().to_owned(), 1)),
        ..Diagnostic::error(location, "this is not UTF-8 text")
            .with_help("save the file with the encoding UTF-8")
    }
}

fn refusal(line: &Line<'_>, feature: &Feature) -> Diagnostic {
    let message = format!(
        "`{}`: this version has no {} yet",
        line.name(),
        feature.name
    );
    line.error(message).with_help(feature.instead)
}

fn lacks_value(line: &Line<'_>) -> Diagnostic {
    line.error(format!("`{}` lacks its value", line.name()))
        .with_help("write the value behind the name, or remove the line")
}

fn explain(line: &Line<'_>, fault: Fault) -> Diagnostic {
    line.value_error(fault.part, fault.message)
        .with_help(fault.help)
}

fn read_port(line: &Line<'_>, word: &str) -> Result<u16, Diagnostic> {
    let number =
        value::number(word, 1, u64::from(u16::MAX)).map_err(|fault| explain(line, fault))?;
    Ok(number as u16)
}

/// Whether a word cannot have been meant as a port.
fn looks_like_host(word: &str) -> bool {
    let host_and_port = word.matches(':').count() == 1;
    !host_and_port && (word == "localhost" || word.parse::<std::net::IpAddr>().is_ok())
}
