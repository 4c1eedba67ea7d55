//! `backup`: copies the ledger.

use crate::cli::BackupArgs;
use cofferdam_batch::ledger::{Backup, Reader};
use std::error::Error;

pub(crate) fn backup(args: &BackupArgs) -> Result<Backup, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    match Reader::open(&base)? {
        Some(reader) => Ok(reader.backup(&args.file)?),
        None => Err(format!(
            "there is no ledger in {}: no session was recorded yet",
            base.display()
        )
        .into()),
    }
}
