//! Tests of the binary as a process, with handwritten journals.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod account;
mod baseline;
#[cfg(unix)]
mod batch;
mod check;
mod clean;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod declared;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod declared_warm;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod doctests;
mod fix;
#[cfg(target_os = "linux")]
mod fixtures;
mod hostile;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod hunt;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod hunt_statics;
mod ledger;
#[cfg(unix)]
mod locks;
mod metrics;
mod namespace;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod next_steps;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod observe;
mod pages;
#[cfg(target_os = "linux")]
mod postgres;
mod recording;
mod report_files;
mod run;
mod sessions;
mod settings;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod shards;
mod suites;
