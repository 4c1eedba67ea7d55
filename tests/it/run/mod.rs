//! Names, leases and files that several processes share.

mod files;
mod leases;
