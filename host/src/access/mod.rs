//! Who may use the host: tokens with a role, the file that keeps their digests, and the gate that every request
//! passes. Knows no route and no status code.

mod book;
mod edit;
mod file;
mod gate;
mod limits;
mod role;
mod secret;
mod token;

pub use book::Book;
pub use edit::{EditError, New, create, list, revoke};
pub use file::FileError;
pub use gate::{Access, Caller, Rules, Shown};
pub use role::{BadRole, Role};
pub use secret::Secret;
pub use token::{BadName, Token};

#[cfg(test)]
mod tests;
