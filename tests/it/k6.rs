//! What the scripts in k6/ say about the API is what the server has.

use crate::tidy::text;
use chat_server::{api, problem::Code};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn its_types_are_those_of_the_openapi_document() {
    let document: Value = serde_json::from_str(&api::document()).unwrap();
    let mut compared = 0;
    for interface in text("k6/types/api.ts").split("export interface ").skip(1) {
        let (name, body) = interface.split_once(" {\n").unwrap();
        let schema = &document["components"]["schemas"][name];
        for line in body.lines().take_while(|line| *line != "}") {
            let (field, kind) = line.trim().trim_end_matches(';').split_once(": ").unwrap();
            let property = &schema["properties"][field.trim_end_matches('?')];
            assert_eq!(kind, typescript(property), "{name}.{field}");
            let required = schema["required"].as_array().unwrap().iter().any(|it| it == field);
            assert_ne!(required, field.ends_with('?'), "{name}.{field}");
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
}

/// The type of a property, as TypeScript writes it.
fn typescript(schema: &Value) -> String {
    let plain = match (schema["$ref"].as_str(), schema["type"].as_str()) {
        (Some(reference), _) => reference.rsplit('/').next().unwrap().to_owned(),
        (_, Some("array")) => format!("{}[]", typescript(&schema["items"])),
        (_, Some("integer")) => "number".to_owned(),
        (_, other) => other.unwrap_or("not in the document").to_owned(),
    };
    if schema["nullable"] == true { format!("{plain} | null") } else { plain }
}

#[test]
fn its_error_codes_are_those_of_the_server() {
    let codes = text("k6/lib/codes.ts");
    let (_, table) = codes.split_once("STATUS = {\n").unwrap();
    let rows = table.lines().take_while(|line| *line != "} as const;");
    let rows: BTreeSet<_> = rows.map(|row| row.trim().to_owned()).collect();
    let row = |code: &Code| format!("{}: {},", code.name(), code.status());
    assert_eq!(rows, Code::ALL.iter().map(row).collect());
}
