//! `envoy.config.accesslog.v3.AccessLog`: where records go, and what a line looks like
//! (`envoy.config.core.v3.SubstitutionFormatString`). Loggers that go elsewhere are left out.

use leno_core::config::{AccessLog, JsonTemplate, LogFormat};
use leno_core::format::LogLine;
use serde_json::{Map, Value};

use super::value;
use crate::read::{Field, Reader};
use crate::wire::Writer;

const FILE_LOG: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT_LOG: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
const STDERR_LOG: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";

pub(crate) fn decode(field: Field<'_, '_>) -> Option<AccessLog> {
    field.message(|r| {
        r.harmless(&[(2, "filter")]);
        r.string(1, "name");
        r.any(4, "typed_config", |kind, r| match kind {
            FILE_LOG => Some(AccessLog { path: r.required_string(1, "path"), format: of_file(r) }),
            STDOUT_LOG | STDERR_LOG => {
                let stream = if kind == STDOUT_LOG { "stdout" } else { "stderr" };
                let format = r.message(1, "log_format", substitution).unwrap_or_default();
                Some(AccessLog { path: format!("/dev/{stream}"), format })
            }
            other => {
                r.leave_out(&format!("{other} is not a supported access log"));
                None
            }
        })
    })??
}

/// `log_format`, or one of the three fields that it took the place of.
fn of_file(r: &mut Reader<'_, '_>) -> LogFormat {
    let text = r.optional_string(2, "format").map(|text| text_format(text, false));
    let json = r.field(3, "json_format").map(|field| json_format(field.structure(), false));
    let typed = r.field(4, "typed_json_format");
    let typed = typed.map(|field| json_format(field.structure(), false));
    for (name, format) in [("format", &text), ("json_format", &json), ("typed_json_format", &typed)]
    {
        check(r, name, format.as_ref());
    }
    let given = r.message(5, "log_format", substitution);
    let all: Vec<LogFormat> = [text, json, typed, given].into_iter().flatten().collect();
    if all.len() > 1 {
        r.problem(
            "at most one of format, json_format, typed_json_format and log_format is expected",
        );
    }
    all.into_iter().next().unwrap_or_default()
}

fn substitution(r: &mut Reader<'_, '_>) -> LogFormat {
    // Which media type an answer would have, and in which order keys are written.
    r.harmless(&[(4, "content_type"), (7, "json_format_options")]);
    let omit_empty = r.bool(3, "omit_empty_values");
    if !r.messages(6, "formatters", |r| r.skip()).is_empty() {
        r.problem_at("formatters", "adds operators; none but Envoy's own are known here");
    }
    let text = r.optional_string(1, "text_format").map(|text| text_format(text, omit_empty));
    let source = r.message(5, "text_format_source", value::inline_data).map(|data| {
        String::from_utf8(data).map(|text| text_format(text, omit_empty)).unwrap_or_else(|_| {
            r.problem_at("text_format_source", "is not UTF-8");
            LogFormat::Default
        })
    });
    let json = r.field(2, "json_format").map(|field| json_format(field.structure(), omit_empty));
    let all = [("text_format", text), ("text_format_source", source), ("json_format", json)];
    for (name, format) in &all {
        check(r, name, format.as_ref());
    }
    let given: Vec<LogFormat> = all.into_iter().filter_map(|(_, format)| format).collect();
    if given.len() != 1 {
        r.problem("exactly one of text_format, text_format_source and json_format is expected");
    }
    given.into_iter().next().unwrap_or_default()
}

/// Everything that is wrong with a form, each at its place.
fn check(r: &Reader<'_, '_>, name: &str, format: Option<&LogFormat>) {
    let Some(Err(wrong)) = format.map(LogLine::compile) else { return };
    for (at, what) in wrong {
        r.problem_at(&format!("{name}{at}"), &what);
    }
}

fn text_format(text: String, omit_empty: bool) -> LogFormat {
    LogFormat::Text { text, omit_empty }
}

fn json_format(fields: Map<String, Value>, omit_empty: bool) -> LogFormat {
    LogFormat::Json { fields: template(Value::Object(fields)), omit_empty }
}

fn template(value: Value) -> JsonTemplate {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, template(value)));
            JsonTemplate::Object(fields.collect())
        }
        Value::Array(values) => JsonTemplate::List(values.into_iter().map(template).collect()),
        Value::String(text) => JsonTemplate::Text(text),
        Value::Number(number) => JsonTemplate::Number(number.to_string()),
        Value::Bool(value) => JsonTemplate::Bool(value),
        Value::Null => JsonTemplate::Null,
    }
}

fn json(template: &JsonTemplate) -> Value {
    match template {
        JsonTemplate::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
        JsonTemplate::List(values) => values.iter().map(json).collect(),
        JsonTemplate::Text(text) => Value::from(text.as_str()),
        JsonTemplate::Number(number) => serde_json::from_str(number).unwrap_or_default(),
        JsonTemplate::Bool(value) => Value::from(*value),
        JsonTemplate::Null => Value::Null,
    }
}

pub(crate) fn encode(w: &mut Writer, number: u32, logs: &[AccessLog]) {
    for log in logs {
        w.message(number, |w| {
            w.string(1, "envoy.access_loggers.file");
            w.any(4, FILE_LOG, |w| {
                w.string(1, &log.path);
                encode_format(w, &log.format);
            });
        });
    }
}

fn encode_format(w: &mut Writer, format: &LogFormat) {
    match format {
        LogFormat::Default => {}
        LogFormat::Text { text, omit_empty } => w.message(5, |w| {
            w.bool(3, *omit_empty);
            value::write_inline_data(w, 5, text.as_bytes());
        }),
        LogFormat::Json { fields, omit_empty } => w.message(5, |w| {
            if let Value::Object(fields) = json(fields) {
                w.structure(2, &fields);
            }
            w.bool(3, *omit_empty);
        }),
    }
}
