//! `--report FORMAT=FILE`.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ReportArgs {
    /// Also write a report file; html, json, junit, sarif or perfetto (repeatable).
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = parse)]
    pub(crate) files: Vec<ReportFile>,
    /// Annotate a run of GitHub Actions and add to its summary [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub(crate) github: Option<GithubMode>,
}

/// When a report goes to GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GithubMode {
    /// In GitHub Actions, unless another cofferdam started this one.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl FromStr for GithubMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ValueEnum::from_str(text, false)
    }
}

/// A file that a command writes besides its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportFile {
    pub(crate) format: FileFormat,
    pub(crate) path: PathBuf,
}

/// The format of a report file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// A page for browsers.
    Html,
    /// The line of `--format json`.
    Json,
    /// JUnit XML.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
    /// A trace for Perfetto.
    Perfetto,
}

impl FileFormat {
    /// Returns the names of all formats.
    fn names() -> String {
        let formats = Self::value_variants().iter();
        let values = formats.filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        names.join(", ")
    }
}

/// Parses `FORMAT=FILE`.
fn parse(text: &str) -> Result<ReportFile, String> {
    let (format, path) = match text.split_once('=') {
        Some((format, path)) if !path.is_empty() => (format, Path::new(path)),
        _ => {
            return Err(format!(
                "expected FORMAT=FILE with one of {}",
                FileFormat::names()
            ));
        }
    };
    let format = <FileFormat as ValueEnum>::from_str(format, false)
        .map_err(|_| format!("`{format}` is not a format; use one of {}", FileFormat::names()))?;
    Ok(ReportFile {
        format,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_report_file_has_a_known_format_and_a_path() {
        let file = parse("json=a=b.json").unwrap();
        assert_eq!(
            (file.format, file.path),
            (FileFormat::Json, PathBuf::from("a=b.json"))
        );
        for text in ["json", "json=", "=a"] {
            assert!(parse(text).unwrap_err().contains("one of html, json"), "{text}");
        }
        let error = parse("word=a").unwrap_err();
        assert!(
            error.starts_with("`word` is not a format; use one of html, json"),
            "{error}"
        );
    }

    #[test]
    fn the_help_names_each_format() {
        for command in ["run", "observe", "hunt", "check"] {
            let cli = super::super::Cli::command();
            let command = cli.find_subcommand(command).unwrap();
            let option = command
                .get_arguments()
                .find(|one| one.get_id() == "files")
                .unwrap();
            let help = option.get_help().unwrap().to_string();
            for name in FileFormat::names().split(", ") {
                assert!(help.contains(name), "{help}");
            }
        }
    }
}
