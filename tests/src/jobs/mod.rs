//! What every store of jobs must do, as cases that run against any; a store that is a model of that, and one that
//! does it wrongly. Knows the trait `JobStore`; of the stores of the host, `places` alone knows how they are opened.

pub mod bench;
pub mod cases;
pub mod faulty;
pub mod made;
pub mod model;
pub mod places;
pub mod steps;

pub use bench::{Bench, Handles, Place};
