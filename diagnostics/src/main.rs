//! `cargo cofferdam`: runs a suite, and names the tests that get in each other's way.

mod baseline;
mod child;
mod cli;
mod commands;
mod executor;
mod exit_code;
mod findings;
mod fix;
mod jobs;
mod ledger;
#[cfg(has_observer)]
mod observe;
mod processes;
mod report;
#[cfg(unix)]
mod signals;

use clap::Parser as _;
use cli::{CleanArgs, Cli, Command, FixArgs, ListFormat};
use commands::Refused;
use exit_code::Ended;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(unix)]
    signals::fail_large_writes();
    let arguments = cli::arguments();
    #[cfg(has_observer)]
    if let Some(command) = cli::runner_s(&arguments) {
        report::complain(&observe::launch::runner::exec_observed(command));
        return ExitCode::from(exit_code::UNKNOWN);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, as a success.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit_code::USAGE
            } else {
                exit_code::NONE
            });
        }
    };
    let (shown, told) = match cli.command {
        Command::Run(args) => {
            let told = commands::run::run(&args, &mut report::Progress::new(&args));
            (args.shown_as(), told)
        }
        Command::Guard(args) => {
            let ended = commands::guard::guard(&args);
            report::tell_guarded(&args.session, ended);
            return ExitCode::from(exit_code::NONE);
        }
        Command::Check(args) => (args.shown.clone(), commands::check::check(args)),
        #[cfg(has_observer)]
        Command::Observe(args) => {
            let progress = report::Confirming::default();
            let see = |event: observe::confirm::ConfirmEvent<'_>| progress.see(event);
            (args.shown.clone(), commands::observe::observe(args, &see))
        }
        #[cfg(not(has_observer))]
        Command::Observe(args) => (args.shown.clone(), commands::observe::observe(args)),
        Command::Fix(args) => return fix(&args),
        Command::Clean(args) => return clean(&args),
        Command::Locks(args) => return locks(args.format),
        other => return looked(look(other)),
    };
    let code = match told {
        Ok(outcome) => {
            let code = outcome.exit_code();
            match report::show(&shown, &outcome) {
                Ok(()) => code,
                Err(error) => {
                    report::complain(&error);
                    // What the command said goes before what became of the report.
                    if matches!(outcome.command, Some(Ended::Failed { .. })) {
                        code
                    } else {
                        exit_code::UNKNOWN
                    }
                }
            }
        }
        Err(error) => refused_or_failed(&*error),
    };
    ExitCode::from(code)
}

/// The commands that look at sessions, or hand a job to one.
fn look(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Status(args) => commands::status::status(&args, report::show_status(args.format))?,
        Command::List(args) => report::show_list(args.format, &commands::list::list(&args)?)?,
        Command::Show(args) => report::show_session(args.format, &commands::show::show(&args)?)?,
        Command::Backup(args) => report::show_backup(args.format, &commands::backup::backup(&args)?)?,
        Command::Metrics(args) => report::show_metrics(&commands::metrics::metrics(&args)?)?,
        Command::Completions(args) => report::show_text(&commands::completions::completions(&args))?,
        Command::Submit(args) => report::show_submitted(args.format, &commands::submit::submit(&args)?)?,
        Command::Run(_)
        | Command::Guard(_)
        | Command::Check(_)
        | Command::Observe(_)
        | Command::Fix(_)
        | Command::Clean(_)
        | Command::Locks(_) => {}
    }
    Ok(())
}

fn looked(told: Result<(), Box<dyn Error>>) -> ExitCode {
    ExitCode::from(match told {
        Ok(()) => exit_code::NONE,
        Err(error) => refused_or_failed(&*error),
    })
}

fn fix(args: &FixArgs) -> ExitCode {
    let told = commands::fix::fix(args).and_then(|fixed| {
        report::show_fix(args.format, &fixed)?;
        Ok(fixed.exit_code())
    });
    ExitCode::from(told.unwrap_or_else(|error| {
        report::complain(&*error);
        exit_code::UNKNOWN
    }))
}

fn clean(args: &CleanArgs) -> ExitCode {
    let told = commands::clean::clean(args).and_then(|swept| {
        report::show_clean(args.format, &swept)?;
        Ok(swept.exit_code())
    });
    ExitCode::from(told.unwrap_or_else(|error| {
        report::complain(&*error);
        exit_code::UNKNOWN
    }))
}

/// Says why, and what it means for the exit code.
fn refused_or_failed(error: &(dyn Error + 'static)) -> u8 {
    match error.downcast_ref::<Refused>() {
        Some(refused) => {
            report::refuse(refused);
            exit_code::USAGE
        }
        None => {
            report::complain(error);
            exit_code::UNKNOWN
        }
    }
}

fn locks(format: ListFormat) -> ExitCode {
    let told = commands::locks::locks().and_then(|locks| Ok(report::show_locks(format, &locks)?));
    if let Err(error) = told {
        report::complain(&*error);
        return ExitCode::from(exit_code::UNKNOWN);
    }
    ExitCode::from(exit_code::NONE)
}
