//! What is made from the code and lies beside it: the reference and the example that operators read.
//! `BULKHEAD_BLESS=1` has these tests write what they else compare.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::super::environment::variable_of;
use super::super::reference::{Key, about_table, all_keys};
use super::super::{keys, schema};
use super::adopt::settings;
use super::values::EVERYTHING;
use super::*;

const REFERENCE: &str = "docs/configuration.md";
const EXAMPLE: &str = "host/packaging/bulkhead.toml";

const REFERENCE_HEAD: &str = "\
# Configuration

Every key of `bulkhead.toml`, made from the code. Settings: defaults < `bulkhead.toml` < `BULKHEAD_*` < flags; the last that
speaks counts, and an unknown key is an error that names the nearest. The file is `--config FILE`, else what
`BULKHEAD_CONFIG` names, else `bulkhead.toml` in the working directory, if there is one.

- `bulkhead config show` prints what holds, and which source said so.
- `bulkhead config check [FILE]` says whether a file is good; exit code 78 where it is not.
- `bulkhead config schema` prints the JSON Schema of the file, for editors.
- [host/packaging/bulkhead.toml](../host/packaging/bulkhead.toml) is an example with every key.

Sizes are `\"64MiB\"`, `\"512KiB\"`, `\"10MB\"` (decimal) or a number of bytes; durations `\"500ms\"`, `\"30s\"`, `\"7d\"` or `\"1h30m\"`. In a
variable, items of a list stand between commas, and an empty variable counts as not set. *Reload* says whether a running
host takes a change over on SIGHUP, or with its next start.

The folder for the host's own files is no key of the file: it is `--state DIR`, else `BULKHEAD_STATE`, else `STATE_DIRECTORY` (which
systemd sets), else `$XDG_STATE_HOME/bulkhead`, else `$HOME/.local/state/bulkhead`. `BULKHEAD_LOG` is short for
`BULKHEAD_LOG_LEVEL`.
";

const EXAMPLE_HEAD: &str = "\
# The settings of a Bulkhead host. Each key is commented out and has its default, or an example where it has none
# (then it says so). Lines that begin with `# ` explain; to set a key, take away the `#` before it.
#
# `bulkhead config check FILE` says whether this file is good, `bulkhead config show` what holds.
# A running host takes over what says nothing of a restart when it gets SIGHUP: `systemctl reload bulkhead`.

";

#[test]
fn the_reference_is_made_from_the_code() {
    let mut text = REFERENCE_HEAD.to_owned();
    let waiting = waiting();
    for table in keys::TABLES {
        write!(
            text,
            "\n## `[{}]`\n\n{}\n",
            table.join("."),
            about_table(table)
        )
        .unwrap();
        if table == ["plugins", "defaults"] {
            text += "\nThe same keys stand under `[plugin.NAME]`, for the plugin of that name; they have no variables.\n";
        }
        text += "\n| key | meaning | may be | default | variable | reload |\n| --- | --- | --- | --- | --- | --- |\n";
        let keys = all_keys();
        for key in keys.iter().filter(|key| key.table == table) {
            text += &row(key, waits(&waiting, key));
        }
    }
    hold(REFERENCE, &text);
}

#[test]
fn the_example_is_made_from_the_code() {
    hold(EXAMPLE, &example(&waiting()));
}

#[test]
fn the_example_is_good_as_it_is_and_with_every_key_set() {
    let text = example(&waiting());
    check(&text, &[], "");
    let set: Vec<_> = text.lines().map(uncommented).collect();
    let set = set.join("\n");
    let table: toml::Table = set.parse().unwrap();
    let missing = all_keys().into_iter().filter(|key| {
        let path = key.path();
        let (name, tables) = path.split_last().unwrap();
        let found = tables
            .iter()
            .try_fold(&table, |table, name| table.get(*name)?.as_table());
        !found.is_some_and(|table| table.contains_key(*name))
    });
    let missing: Vec<_> = missing.map(|key| key.dotted()).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bulkhead.toml"), &set).unwrap();
    let sources = Sources {
        folder: folder.path().to_owned(),
        environment: [("HOME", "/home/me")].into_iter().collect(),
        ..Sources::default()
    };
    read(&sources).unwrap_or_else(|error| panic!("{}\n{set}", error.one_line()));
    // What editors are told agrees with the parser.
    let document = serde_json::to_value(&table).unwrap();
    jsonschema::validate(&schema(), &document).unwrap();
}

#[test]
fn every_key_is_explained() {
    let told: BTreeSet<_> = all_keys().iter().map(Key::dotted).collect();
    for table in keys::TABLES {
        for name in keys::of(table).unwrap() {
            let path = [table, &[*name]].concat();
            let is_told = keys::of(&path).is_some() || told.contains(&path.join("."));
            assert!(is_told, "{path:?}");
        }
    }
    for key in all_keys() {
        assert!(
            key.about.ends_with('.'),
            "{}: {:?}",
            key.dotted(),
            key.about
        );
        assert!(!key.form.is_empty(), "{}", key.dotted());
    }
    // One that is left out there would be called one that is taken over.
    let everything: toml::Table = EVERYTHING.parse().unwrap();
    let everything = serde_json::to_value(everything).unwrap();
    for key in all_keys() {
        let pointer = format!("/{}", key.path().join("/"));
        assert!(everything.pointer(&pointer).is_some(), "{}", key.dotted());
    }
}

#[test]
fn the_schema_holds_what_the_parser_holds() {
    let schema = schema();
    let is_good = |file: &str| {
        let table: toml::Table = file.parse().unwrap();
        let document = serde_json::to_value(table).unwrap();
        jsonschema::is_valid(&schema, &document)
    };
    assert!(is_good(""));
    assert!(is_good(EVERYTHING));
    assert!(is_good(
        "[plugin.qr]\nlane = 'in-process'\nsettings = { any = [1, 'b'] }"
    ));
    for bad in [
        "sever = 1",
        "[server]\nlisen = 'x'",
        "[server]\nlisten = 8077",
        "[server]\nmax_body = 0",
        "[server]\ndrain = 30",
        "[server]\nsocket_mode = '999'",
        "[plugins.defaults]\nconcurrency = 1025",
        "[plugin.qr]\nlane = 'thread'",
        "[plugin.qr]\nqueu = 1",
        "[plugin.QR]\nqueue = 1",
        "[plugin.qr]\nread = ['models']",
        "[workers]\nsandbox = 'on'",
        "[workers]\nplatform = 'windows'",
        "[jobs]\nstore = 'sqlit'",
        "[jobs.callbacks]\nsecret = 'mine'",
        "[telemetry]\notlp = 'ftp://x'",
    ] {
        assert!(!is_good(bad), "{bad}");
    }
    let listen = &schema["properties"]["server"]["properties"]["listen"];
    assert_eq!(listen["default"], "127.0.0.1:8077");
    assert!(
        listen["description"]
            .as_str()
            .unwrap()
            .starts_with("Where to listen")
    );
    let lane = &schema["properties"]["plugins"]["properties"]["defaults"]["properties"]["lane"];
    assert_eq!(lane["enum"], serde_json::json!(["process", "in-process"]));
    let text = schema.to_string();
    assert!(!text.contains("x-form") && !text.contains("null"), "{text}");
}

fn row(key: &Key, waits: bool) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let reload = if waits { "restart" } else { "yes" };
    let meanings = key.words.iter().filter(|(_, meaning)| !meaning.is_empty());
    let meanings: String = meanings
        .map(|(word, meaning)| format!(" `\"{word}\"`: {meaning}"))
        .collect();
    format!(
        "| `{}` | {}{} | {} | {} | `{}` | {reload} |\n",
        key.name,
        cell(&key.about),
        cell(&meanings),
        cell(&key.form),
        cell(&key.default_in_words()),
        variable_of(&key.path()),
    )
}

fn example(waiting: &BTreeSet<String>) -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    let keys = all_keys();
    for table in keys::TABLES {
        let about = about_table(table).replace('`', "");
        write!(text, "# {about}\n[{}]\n", table.join(".")).unwrap();
        for key in keys.iter().filter(|key| key.table == table) {
            text += &explained(key, waits(waiting, key));
        }
    }
    text += "# How one plugin is treated: the keys of [plugins.defaults], where they differ.\n\
             #[plugin.image-info]\n#deadline = \"5s\"\n#required = true\n";
    text
}

fn explained(key: &Key, waits: bool) -> String {
    let mut words = vec![key.about.clone()];
    let meanings = key.words.iter();
    words.extend(meanings.map(|(word, meaning)| format!("\"{word}\": {meaning}")));
    if key.words.is_empty() {
        words.push(format!("May be {}.", key.form));
    }
    match (key.dependent(), key.default_in_words().as_str()) {
        (Some(default), _) => words.push(format!("Default: {default}.")),
        (None, "none") => words.push("Default: none.".to_owned()),
        (None, _) => {}
    }
    if waits {
        words.push("Changes with a restart.".to_owned());
    }
    let about = wrapped(&words.join(" ").replace('`', ""));
    format!("{about}#{} = {}\n\n", key.name, key.sample())
}

fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split(' ') {
        if line.len() + word.len() > 110 {
            lines += &line;
            lines += "\n";
            line = String::from("#");
        }
        line += " ";
        line += word;
    }
    lines + &line + "\n"
}

/// A line as it is when somebody sets what it says.
fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(setting)
            if setting.starts_with(|sign: char| sign.is_ascii_lowercase() || sign == '[') =>
        {
            setting
        }
        _ => line,
    }
}

/// The keys of what a running host does not take over.
fn waiting() -> BTreeSet<String> {
    // With TLS: other files are taken over, and the document says of the table what is not.
    let before = "server.tls = { certificate = '/other.pem', key = '/other.key' }";
    let (_, waits) = settings(before).adopt(settings(EVERYTHING));
    waits.into_iter().collect()
}

/// Whether the key waits, or the table that it stands in.
fn waits(waiting: &BTreeSet<String>, key: &Key) -> bool {
    waiting.contains(&key.dotted()) || waiting.contains(&key.table.join("."))
}

/// Holds a file of the repository to what it should be.
fn hold(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(expected.lines())
        .position(|(a, b)| a != b);
    assert!(
        found == expected,
        "{file} is not what the code makes of it, from line {:?} on: run these tests with BULKHEAD_BLESS=1, and look at the difference",
        differs.map(|line| line + 1)
    );
}
