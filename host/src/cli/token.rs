//! `bulkhead token`: who may use a daemon. Works on the file with the tokens, beside a daemon that runs as well.

use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{Exit, Failure, chain};
use super::{Common, print};
use crate::access::{self, EditError, New, Role};
use crate::config::Span;

/// Make, list and revoke the tokens that a daemon lets in
#[derive(Args)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token: it is printed once, and nobody can find it out again
    Create(Create),
    /// List the tokens, without their secrets
    List(Place),
    /// Take a token away: a daemon that runs refuses it within a second
    Revoke(Revoke),
}

#[derive(Args)]
struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do: analyze (and see its own jobs), operate (see and do everything but tokens), admin
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// How long it holds, such as 90d [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// How many requests it may make a second; 0 for as many as it likes [default: the configuration's `access.rate`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Revoke {
    /// Its name or its id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    place: Place,
}

/// Where the tokens are, and the form of what is printed.
#[derive(Args)]
struct Place {
    /// The folder for the host's own files, as `serve` takes it
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The configuration [default: bulkhead.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Token {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Create(create) => create.run(),
            Command::List(place) => place.list(),
            Command::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<Exit, Failure> {
        let json = self.place.json;
        let file = self.place.file()?;
        let new = New {
            name: self.name,
            role: self.role,
            expires: self.expires.map(Duration::from),
            rate: self.rate,
        };
        let (token, secret) = access::create(&file, new)?;
        let text = if json {
            let mut document = document(&token);
            document["token"] = secret.as_str().into();
            format!("{document:#}\n")
        } else {
            format!("{}\n", secret.as_str())
        };
        if !print::reaches(text.as_bytes()) {
            // Nobody will ever know it, and its name would be taken.
            access::revoke(&file, &token.id)?;
            let problem = format!(
                "the token `{}` could not be printed, and was taken back",
                token.name
            );
            return Err(Failure::new(Exit::Lost, problem));
        }
        if json {
            return Ok(Exit::Success);
        }
        let end = token.expires().map(|end| format!(" until {end}"));
        print::error(&format!(
            "token `{}` ({}) with the role {}{}: keep the line above, it is not shown again; send it as \
             `Authorization: Bearer TOKEN`",
            token.name,
            token.id,
            token.role,
            end.unwrap_or_default()
        ));
        Ok(Exit::Success)
    }
}

impl Revoke {
    fn run(self) -> Result<Exit, Failure> {
        let json = self.place.json;
        let file = self.place.file()?;
        let token = access::revoke(&file, &self.which)?;
        if json {
            print::document(&document(&token));
        } else {
            print::error(&format!("token `{}` ({}) is revoked", token.name, token.id));
        }
        Ok(Exit::Success)
    }
}

impl Place {
    fn file(self) -> Result<PathBuf, Failure> {
        let common = Common {
            plugins: None,
            config: self.config,
        };
        Ok(common.settings(None, self.state)?.tokens())
    }

    fn list(self) -> Result<Exit, Failure> {
        let json = self.json;
        let file = self.file()?;
        let tokens = access::list(&file).map_err(EditError::from)?;
        if json {
            let items: Vec<_> = tokens.iter().map(document).collect();
            print::document(&json!({ "items": items, "next_cursor": null }));
            return Ok(Exit::Success);
        }
        if tokens.is_empty() {
            print::error(&format!("there are no tokens in `{}`", file.display()));
            return Ok(Exit::Success);
        }
        let mut table = print::table(&["Name", "Id", "Role", "Made", "Expires", "Rate"]);
        for token in &tokens {
            table.add_row(row(token));
        }
        print::line(&table.to_string());
        Ok(Exit::Success)
    }
}

fn row(token: &access::Token) -> [String; 6] {
    let expires = match token.expires() {
        None => "never".to_owned(),
        Some(end) if token.has_expired(Utc::now()) => format!("{end} (over)"),
        Some(end) => end,
    };
    let rate = match token.rate {
        None => "as configured".to_owned(),
        Some(0) => "any".to_owned(),
        Some(rate) => format!("{rate}/s"),
    };
    [
        token.name.clone(),
        token.id.clone(),
        token.role.to_string(),
        token.created(),
        expires,
        rate,
    ]
}

/// A token as the daemon tells of it.
fn document(token: &access::Token) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "created_at": token.created(),
        "expires_at": token.expires(),
        "rate": token.rate,
    })
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let exit = match error {
            EditError::File(_) => Exit::Config,
            EditError::Unwritable { .. } | EditError::Random(_) => Exit::Unavailable,
            EditError::Name(_) | EditError::Expiry(_) => Exit::Usage,
            EditError::Taken(_) | EditError::Unknown(_) => Exit::Failed,
        };
        Self::new(exit, chain(&error))
    }
}
