//! `check`: reports conflicts in an earlier recording.

use super::ratchet::Ratchet;
use super::{Findings, Outcome, session};
use crate::cli::CheckArgs;
use cofferdam_conflicts::Evidence;
use std::error::Error;

pub(crate) fn check(args: CheckArgs) -> Result<Outcome, Box<dyn Error>> {
    let ratchet = Ratchet::read(&args.baseline)?;
    let findings = if args.paths.is_empty() {
        let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
        let evidence = match session::newest(&base)? {
            Some(session) => session::evidence(&base, &session)?,
            None => Evidence::new(),
        };
        Findings::new(vec![base.join("runs")], &evidence)
    } else {
        let mut evidence = Evidence::new();
        for path in &args.paths {
            evidence.read(path);
        }
        Findings::new(args.paths, &evidence)
    };
    Ok(ratchet.hold(Outcome::new(None, findings, args.no_records, args.strict)))
}
