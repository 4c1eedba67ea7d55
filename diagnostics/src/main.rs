//! `cargo cofferdam`: runs a test suite and reports the tests that interfere with each other.

mod baseline;
mod cli;
mod commands;
mod exit_code;
mod findings;
mod fix;
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, no fixture is kept warm")
)]
mod fixtures;
#[cfg(has_observer)]
mod hunt;
#[cfg(has_observer)]
mod observe;
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, no test runs again")
)]
mod rates;
mod report;
#[cfg_attr(
    not(has_observer),
    expect(dead_code, unused_imports, reason = "without an observer, no scene runs")
)]
mod scene;

use clap::Parser as _;
use cli::{CleanArgs, Cli, Command, FixArgs, HostArgs, ListFormat};
use commands::Refused;
use commands::env::Printed;
use exit_code::Ended;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(unix)]
    cofferdam_batch::signals::fail_large_writes();
    let arguments = cli::arguments();
    #[cfg(has_observer)]
    if let Some(command) = cli::observed_command(&arguments) {
        return ExitCode::from(match observe::launch::runner::exec_observed(command) {
            Ok(()) => exit_code::NONE,
            Err(error) => {
                report::complain(&error);
                exit_code::UNKNOWN
            }
        });
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap also returns help and version as errors.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit_code::USAGE
            } else {
                exit_code::NONE
            });
        }
    };
    if let Some(settings) = cli.command.fixtures_of_tests()
        && let Err(error) = commands::start_fixtures(settings, report::announce_fixtures)
    {
        return ExitCode::from(refused_or_failed(&*error));
    }
    let (shown, result) = match cli.command {
        Command::Run(args) => {
            let result = commands::run::run(&args, &mut report::Progress::new(&args));
            (args.shown_as(), result)
        }
        Command::Guard(args) => {
            let ended = commands::guard::guard(&args);
            report::tell_guarded(&args.session, ended);
            return ExitCode::from(exit_code::NONE);
        }
        Command::Host(args) => return host(&args),
        Command::Check(args) => (args.shown.clone(), commands::check::check(args)),
        #[cfg(has_observer)]
        Command::Observe(args) => {
            let progress = report::Confirming::default();
            let see = |event: observe::confirm::ConfirmEvent<'_>| progress.see(event);
            (args.shown.clone(), commands::observe::observe(args, &see))
        }
        #[cfg(not(has_observer))]
        Command::Observe(args) => (args.shown.clone(), commands::observe::observe(args)),
        #[cfg(has_observer)]
        Command::Hunt(args) => return hunt(&args),
        #[cfg(has_observer)]
        Command::Rerun(args) => return rerun(&args),
        #[cfg(not(has_observer))]
        Command::Hunt(_) | Command::Rerun(_) => {
            report::complain(&*commands::unobservable());
            return ExitCode::from(exit_code::UNKNOWN);
        }
        Command::Fix(args) => return fix(&args),
        Command::Clean(args) => return clean(&args),
        Command::Locks(args) => return locks(args.format),
        other => return looked(look(other)),
    };
    let code = match result {
        Ok(outcome) => {
            let code = outcome.exit_code();
            match report::show(&shown, &outcome) {
                Ok(()) => code,
                Err(error) => {
                    report::complain(&error);
                    // The exit code of a failed command outranks the failure to write the report.
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

/// Runs the commands that read sessions or submit a job to one.
fn look(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Status(args) => commands::status::status(&args, report::show_status(args.format))?,
        Command::List(args) => report::show_list(args.format, &commands::list::list(&args)?)?,
        Command::Show(args) => report::show_session(args.format, &commands::show::show(&args)?)?,
        Command::Backup(args) => report::show_backup(args.format, &commands::backup::backup(&args)?)?,
        Command::Metrics(args) => report::show_metrics(&commands::metrics::metrics(&args)?)?,
        Command::Completions(args) => report::show_text(&commands::completions::completions(&args))?,
        Command::Env(args) => match commands::env::env(&args)? {
            Printed::Variables(variables) => report::show_env(args.format, &variables)?,
            Printed::Config(text) => report::show_text(text.as_bytes())?,
            Printed::Nothing => {}
        },
        Command::Submit(args) => report::show_submitted(args.format, &commands::submit::submit(&args)?)?,
        Command::Run(_)
        | Command::Guard(_)
        | Command::Host(_)
        | Command::Check(_)
        | Command::Observe(_)
        | Command::Hunt(_)
        | Command::Rerun(_)
        | Command::Fix(_)
        | Command::Clean(_)
        | Command::Locks(_) => {}
    }
    Ok(())
}

fn looked(result: Result<(), Box<dyn Error>>) -> ExitCode {
    ExitCode::from(match result {
        Ok(()) => exit_code::NONE,
        Err(error) => refused_or_failed(&*error),
    })
}

fn fix(args: &FixArgs) -> ExitCode {
    let result = match args.migrate {
        Some(from) => commands::fix::migrate(args, from).and_then(|migrated| {
            report::show_migration(args.format, &migrated)?;
            Ok(migrated.exit_code())
        }),
        None if args.relax => relax(args),
        None => {
            let mut fixing = report::Fixing::default();
            let result = commands::fix::fix(args, &mut |event| fixing.see(event));
            drop(fixing);
            result.and_then(|fixed| {
                report::show_fix(args.format, &fixed)?;
                Ok(fixed.exit_code())
            })
        }
    };
    ExitCode::from(result.unwrap_or_else(|error| refused_or_failed(&*error)))
}

#[cfg(has_observer)]
fn relax(args: &FixArgs) -> Result<u8, Box<dyn Error>> {
    let mut fixing = report::Fixing::default();
    let result = commands::fix::relax(args, &mut |event| fixing.see(event));
    drop(fixing);
    let relaxed = result?;
    report::show_relaxation(args.format, &relaxed)?;
    Ok(relaxed.exit_code())
}

/// Fails: what tests use has to be observed.
#[cfg(not(has_observer))]
fn relax(_args: &FixArgs) -> Result<u8, Box<dyn Error>> {
    Err(commands::unobservable())
}

#[cfg(has_observer)]
fn hunt(args: &cli::HuntArgs) -> ExitCode {
    let mut hunting = report::Hunting::default();
    let result = commands::hunt::hunt(args, &mut |event| hunting.see(event));
    drop(hunting);
    let result = result.and_then(|hunted| {
        report::show_hunt(args.format, &hunted)?;
        Ok(hunted.exit_code())
    });
    ExitCode::from(result.unwrap_or_else(|error| refused_or_failed(&*error)))
}

#[cfg(has_observer)]
fn rerun(args: &cli::RerunArgs) -> ExitCode {
    let result = commands::rerun::rerun(args, &mut report::see_rerun).and_then(|reran| {
        report::show_rerun(args.format, &reran)?;
        Ok(reran.exit_code())
    });
    ExitCode::from(result.unwrap_or_else(|error| refused_or_failed(&*error)))
}

#[cfg(has_observer)]
fn host(args: &HostArgs) -> ExitCode {
    let served = fixtures::warm::serve(&args.file, &args.name, &args.id, report::host_listens);
    if let Err(error) = served {
        report::host_failed(&error);
    }
    ExitCode::from(exit_code::NONE)
}

/// Fails: fixtures are declared for tests that can be observed.
#[cfg(not(has_observer))]
fn host(_args: &HostArgs) -> ExitCode {
    ExitCode::from(exit_code::USAGE)
}

fn clean(args: &CleanArgs) -> ExitCode {
    let result = commands::clean::clean(args).and_then(|swept| {
        report::show_clean(args.format, &swept)?;
        Ok(swept.exit_code())
    });
    ExitCode::from(result.unwrap_or_else(|error| {
        report::complain(&*error);
        exit_code::UNKNOWN
    }))
}

/// Prints the error and returns the exit code.
fn refused_or_failed(error: &(dyn Error + 'static)) -> u8 {
    match error.downcast_ref::<Refused>() {
        Some(refused) => {
            report::refuse(refused);
            exit_code::USAGE
        }
        None => {
            report::complain(error);
            #[cfg(has_observer)]
            if error.is::<commands::Interrupted>() {
                return exit_code::INTERRUPTED;
            }
            exit_code::UNKNOWN
        }
    }
}

fn locks(format: ListFormat) -> ExitCode {
    let result = commands::locks::locks().and_then(|locks| Ok(report::show_locks(format, &locks)?));
    if let Err(error) = result {
        report::complain(&*error);
        return ExitCode::from(exit_code::UNKNOWN);
    }
    ExitCode::from(exit_code::NONE)
}
