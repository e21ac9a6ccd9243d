//! `bulkhead completions` and `bulkhead man`: what shells and readers of manuals are given, made from the commands.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::exit::{Exit, Failure};
use super::{Cli, print};

/// Print a script that completes commands in a shell
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  bulkhead completions bash > /etc/bash_completion.d/bulkhead
  bulkhead completions zsh > /usr/local/share/zsh/site-functions/_bulkhead
  bulkhead completions fish > ~/.config/fish/completions/bulkhead.fish";

impl Completions {
    pub(super) fn run(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bulkhead", &mut script);
        print::bytes(&script);
        Exit::Success
    }
}

/// Write the manual: a page for each command into a folder, or the first to stdout
#[derive(Args)]
pub(super) struct Manual {
    /// The folder, which is made if it is not there
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Manual {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.folder {
            Some(folder) => pages(&folder).map_err(|error| {
                let problem = format!("cannot write the manual to `{}`: {error}", folder.display());
                Failure::new(Exit::Lost, problem)
            })?,
            None => {
                let mut page = Vec::new();
                Man::new(Cli::command())
                    .render(&mut page)
                    .and_then(|()| page.flush())
                    .map_err(|error| Failure::new(Exit::Lost, error))?;
                print::bytes(&page);
            }
        }
        Ok(Exit::Success)
    }
}

fn pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use clap::Parser;

    #[test]
    fn the_commands_hold_together() {
        Cli::command().debug_assert();
    }

    /// What is shown as an example is a command line.
    #[test]
    fn examples_are_command_lines() {
        let mut seen = 0;
        for command in all(&Cli::command()) {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  bulkhead ")) {
                let line = line.split(" > ").next().unwrap_or(line);
                let line = line.split(" | ").next().unwrap_or(line);
                let words = line.split_whitespace().map(|word| word.trim_matches('\''));
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
                seen += 1;
            }
        }
        assert!(seen >= 20, "{seen}");
    }

    /// Who looks for help finds more than a list of flags, and every flag says something.
    #[test]
    fn every_command_explains_itself() {
        for command in all(&Cli::command()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{name}: {}",
                    argument.get_id()
                );
            }
        }
    }

    fn all(command: &Command) -> Vec<Command> {
        let inner = command.get_subcommands().flat_map(all);
        std::iter::once(command.clone()).chain(inner).collect()
    }
}
