//! The JSON schema of the settings file, for editors.

use super::command_options;
use clap::{Arg, Command};
use serde_json::{Map, Value, json};

/// Returns the schema. The options come from the command line, with their descriptions.
pub(crate) fn schema(cli: &Command) -> Value {
    let tables: Map<String, Value> = command_options::commands(cli)
        .map(|command| (command.get_name().to_owned(), table(command)))
        .collect();
    let references: Map<String, Value> = tables
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/definitions/{name}") })))
        .collect();
    let mut properties = references.clone();
    properties.insert(
        "profile".to_owned(),
        json!({
            "description": "Settings that `--profile NAME` adds.",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": references,
                "additionalProperties": false
            }
        }),
    );
    properties.insert(
        "groups".to_owned(),
        json!({
            "description": "The highest number of jobs of a group at the same time.",
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 1 }
        }),
    );
    properties.insert(
        "job".to_owned(),
        json!({ "description": "The jobs of `run` without a command.", "type": "array", "items": job() }),
    );
    properties.insert(
        "fixtures".to_owned(),
        json!({
            "description": "Servers that tests get by variables.",
            "type": "object",
            "additionalProperties": fixture()
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cofferdam.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "definitions": tables
    })
}

fn table(command: &Command) -> Value {
    let options: Map<String, Value> = command_options::of(command)
        .filter_map(|option| Some((option.get_long()?.to_owned(), value(option))))
        .collect();
    let about = command.get_about().map(ToString::to_string);
    json!({ "description": about, "type": "object", "properties": options, "additionalProperties": false })
}

fn value(option: &Arg) -> Value {
    let mut value = if command_options::is_flag(option) {
        json!({ "type": "boolean" })
    } else {
        let possible = option.get_possible_values();
        let names: Vec<&str> = possible
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        let one = if names.is_empty() {
            json!({ "type": ["string", "number"] })
        } else {
            json!({ "enum": names })
        };
        if command_options::takes_several(option) {
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        } else {
            one
        }
    };
    if let (Some(help), Value::Object(value)) = (option.get_help(), &mut value) {
        value.insert("description".to_owned(), json!(help.to_string()));
    }
    value
}

fn words() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn variables() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn time() -> Value {
    json!({ "type": ["string", "integer"] })
}

fn job() -> Value {
    json!({
        "type": "object",
        "required": ["command"],
        "properties": {
            "name": { "type": "string" },
            "command": { "anyOf": [{ "type": "string" }, words()] },
            "env": variables(),
            "cwd": { "type": "string" },
            "timeout": time(),
            "group": { "type": "string" },
            "retries": { "type": "integer", "minimum": 0 }
        },
        "additionalProperties": false
    })
}

fn fixture() -> Value {
    let commands = json!({ "type": "array", "items": words() });
    json!({
        "type": "object",
        "properties": {
            "before": commands,
            "start": words(),
            "container": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": { "type": "string" },
                    "port": { "type": "integer", "minimum": 0, "maximum": 65535 },
                    "env": variables(),
                    "options": words(),
                    "args": words()
                },
                "additionalProperties": false
            },
            "ready": {
                "type": "object",
                "properties": { "log": { "type": "string" }, "http": { "type": "string" } },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false
            },
            "after": commands,
            "teardown": commands,
            "env": variables(),
            "stop-signal": { "enum": ["terminate", "interrupt", "quit", "kill"] },
            "grace": time(),
            "start-within": time(),
            "keep-warm": time()
        },
        "additionalProperties": false
    })
}
