//! Payloads as objects of S3, or of what speaks like it. One type, whether or not this program was built with the
//! feature `s3`: without it there is never a value of it.

#[cfg(not(feature = "s3"))]
mod absent;
#[cfg(feature = "s3")]
mod address;
#[cfg(feature = "s3")]
mod s3;

#[cfg(not(feature = "s3"))]
pub use absent::ObjectPayloads;
#[cfg(feature = "s3")]
pub use s3::ObjectPayloads;
