//! What every store of jobs must do, as cases that run against any; a store that is a model of that, and one that
//! does it wrongly. Knows the trait `JobStore`, and no store of the host.

pub mod bench;
pub mod cases;
pub mod faulty;
pub mod made;
pub mod model;
pub mod steps;

pub use bench::{Bench, Handles, Place};
