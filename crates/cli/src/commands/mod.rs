//! The program's commands, one file each.

pub mod chat;
pub mod check;
pub mod classify;
pub mod convert;
pub mod data;
pub mod demo;
pub mod export;
pub mod export_config;
pub mod fit;
pub mod forward;
pub mod generate;
pub mod import;
pub mod init;
pub mod link;
pub mod merge_adapters;
pub mod params;
pub mod plot;
pub mod push;
pub mod serve;
pub mod train;
