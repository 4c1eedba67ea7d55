//! `check`: reports conflicts in an earlier recording.

use super::baseline_check::BaselineCheck;
use super::{Findings, Outcome, recordings};
use crate::cli::CheckArgs;
use cofferdam_conflicts::Evidence;
use std::error::Error;

pub(crate) fn check(args: CheckArgs) -> Result<Outcome, Box<dyn Error>> {
    let baseline = BaselineCheck::read(&args.baseline)?;
    let findings = if args.paths.is_empty() {
        let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
        let evidence = match recordings::newest(&base)? {
            Some(session) => recordings::evidence(&base, &session)?,
            None => Evidence::new(),
        };
        Findings::new(vec![base.join("runs")], &evidence)
    } else {
        let mut evidence = if args.shards {
            Evidence::of_shards()
        } else {
            Evidence::new()
        };
        for path in &args.paths {
            evidence.read(path);
        }
        Findings::new(args.paths, &evidence)
    };
    Ok(baseline.apply(Outcome::new(None, findings, args.no_records, args.strict)))
}
