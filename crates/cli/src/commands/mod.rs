//! A file a command.

pub mod convert;
pub mod data;
pub mod demo;
pub mod forward;
pub mod init;
pub mod link;
pub mod params;
pub mod serve;
pub mod train;
