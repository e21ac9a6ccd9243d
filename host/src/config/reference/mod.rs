//! What there is to set, told: to editors as a schema, to people as a list of keys, and what holds with where each
//! value comes from. Reads nothing itself.

mod forms;
mod key;
mod odd;
mod schema;
mod settings;
mod values;

pub use odd::Oddity;
pub use schema::schema;
pub use settings::{Origin, Setting, Settings, explain};

#[cfg(test)]
pub(super) use key::{Key, about_table, all as all_keys};
