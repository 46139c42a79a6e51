//! A file a command.

pub mod convert;
pub mod forward;
pub mod params;
pub mod train;
