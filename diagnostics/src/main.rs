//! `cargo cofferdam`: runs a test suite and reports the tests that interfere with each other.

#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(
    fuzzing,
    expect(dead_code, reason = "libFuzzer has the entry, and tries what reads files")
)]

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
#[cfg(fuzzing)]
mod fuzzing;
#[cfg(has_observer)]
mod hunt;
#[cfg(has_observer)]
mod minimal_set;
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
mod settings;
mod shards;
#[cfg(has_observer)]
mod static_causes;

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::{CleanArgs, Cli, Command, FixArgs, HostArgs, ListFormat, ReportArgs};
use commands::Refused;
use commands::config::Shown;
use commands::env::Printed;
use exit_code::Ended;
use report::files::Reported;
use settings::{Settings, Source};
use std::error::Error;
use std::ffi::OsString;
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
    let (cli, settings) = match parsed(&arguments) {
        Ok(parsed) => parsed,
        Err(code) => return ExitCode::from(code),
    };
    let format = cli.format;
    let Some(command) = cli.command else {
        let format = format.unwrap_or(ListFormat::Human);
        let shown =
            commands::next_steps::next_steps().and_then(|next| Ok(report::show_next_steps(format, &next)?));
        return looked(shown);
    };
    let report = command.report().cloned().unwrap_or_default();
    if let Err(refused) = report::files::prepare(&report.files) {
        return ExitCode::from(refused_or_failed(&refused));
    }
    if let Some(keep_warm) = command.keeps_warm()
        && let Err(error) = commands::start_fixtures(settings.file(), keep_warm, report::announce_fixtures)
    {
        return ExitCode::from(refused_or_failed(&*error));
    }
    let (format, result) = match command {
        Command::Run(args) => {
            let result = commands::run::run(&args, settings.file(), &mut report::Progress::new(&args));
            (args.shown_as(), result)
        }
        Command::Guard(args) => {
            let ended = commands::guard::guard(&args);
            report::tell_guarded(&args.session, ended);
            return ExitCode::from(exit_code::NONE);
        }
        Command::Host(args) => return host(&args),
        Command::Check(args) => (args.format, commands::check::check(args)),
        #[cfg(has_observer)]
        Command::Observe(args) => {
            let progress = report::Confirming::default();
            let see = |event: observe::confirm::ConfirmEvent<'_>| progress.see(event);
            (args.format, commands::observe::observe(args, &see))
        }
        #[cfg(not(has_observer))]
        Command::Observe(args) => (args.format, commands::observe::observe(args)),
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
        other => return looked(look(other, &settings)),
    };
    let code = match result {
        Ok(outcome) => {
            let mut errors = report::files::write(&report.files, Reported::Outcome(&outcome));
            errors.extend(report::show(format, &outcome).err());
            errors.iter().for_each(|error| report::complain(error));
            tell_github(&report, Reported::Outcome(&outcome));
            // The exit code of a failed command outranks the failure to write a report.
            if errors.is_empty() || matches!(outcome.command, Some(Ended::Failed { .. })) {
                outcome.exit_code()
            } else {
                exit_code::UNKNOWN
            }
        }
        Err(error) => refused_or_failed(&*error),
    };
    ExitCode::from(code)
}

/// Reports to GitHub Actions. A failure changes no exit code: nobody may have asked for it.
fn tell_github(report: &ReportArgs, reported: Reported<'_>) {
    if let Err(error) = report::github::write(report.github, reported) {
        report::complain(&error);
    }
}

/// Parses the command line, whose defaults are the settings. Prints what is wrong with them, and returns an exit code.
fn parsed(arguments: &[OsString]) -> Result<(Cli, Settings), u8> {
    let refuse = |error: clap::Error| {
        // clap also returns help and version as errors.
        let _ = error.print();
        if error.use_stderr() {
            exit_code::USAGE
        } else {
            exit_code::NONE
        }
    };
    let cli = Cli::parsed(arguments).map_err(refuse)?;
    let source = match &cli.command {
        Some(command) => match command.runs_jobs_of() {
            Some(file) => Source::Named(file.to_owned()),
            None if command.has_settings() => cli.settings.source(),
            None => Source::Nowhere,
        },
        None => Source::Nowhere,
    };
    let profile = cli.settings.profile.as_deref();
    let settings = commands::settings(&Cli::command(), &source, profile).map_err(|error| {
        report::complain(&error);
        exit_code::USAGE
    })?;
    let matches = settings.defaults(Cli::command()).try_get_matches_from(arguments);
    let cli = matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(refuse)?;
    Ok((cli, settings))
}

/// Runs the commands that read settings or sessions, or submit a job to a session.
fn look(command: Command, settings: &Settings) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Status(args) => commands::status::status(&args, report::show_status(args.format))?,
        Command::List(args) => report::show_list(args.format, &commands::list::list(&args)?)?,
        Command::Show(args) => report::show_session(args.format, &commands::show::show(&args)?)?,
        Command::Backup(args) => report::show_backup(args.format, &commands::backup::backup(&args)?)?,
        Command::Metrics(args) => report::show_metrics(&commands::metrics::metrics(&args)?)?,
        Command::Completions(args) => report::show_text(&commands::completions::completions(&args))?,
        Command::Man(args) => commands::man::man(&args)?,
        Command::Config(args) => match commands::config::config(&args, settings)? {
            Shown::Schema(schema) => report::show_text(schema.as_bytes())?,
            Shown::Settings(effective) => report::show_config(args.format, &effective)?,
        },
        Command::Env(args) => match commands::env::env(&args, settings.file())? {
            Printed::Variables(variables) => report::show_env(args.format, &variables)?,
            Printed::Config(text) => report::show_text(text.as_bytes())?,
            Printed::Nothing => {}
        },
        Command::Shards(args) => report::show_shards(args.format, &commands::shards::shards(&args)?)?,
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
    let result = result.map(|hunted| {
        let mut errors = report::files::write(&args.report.files, Reported::Hunt(&hunted));
        errors.extend(report::show_hunt(args.format, &hunted).err());
        errors.iter().for_each(|error| report::complain(error));
        tell_github(&args.report, Reported::Hunt(&hunted));
        if errors.is_empty() {
            hunted.exit_code()
        } else {
            exit_code::UNKNOWN
        }
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
