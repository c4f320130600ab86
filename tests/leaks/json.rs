//! The JSON is what its schema says.

use crate::{hostile, leaked, tracked};
use poolhit::report::leaks::to_json;
use serde_json::Value;

fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/leaks.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn check(json: &str) -> Value {
    let json: Value = serde_json::from_str(json).unwrap();
    let errors: Vec<String> = schema()
        .iter_errors(&json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    json
}

#[test]
fn reports_fit_their_schema() {
    check(&to_json(&tracked().leaks().unwrap()));
    let mut session = leaked();
    let json = check(&to_json(&session.leaks().unwrap()));
    let path = &json["paths"][0];
    assert_eq!(path["tag"], "Lea2");
    assert_eq!(path["leaked"]["bytes"], 3_145_728);
    assert_eq!(path["stack"]["frames"][1]["module"], "myfault");
    assert_eq!(path["stack"]["frames"][1]["address"], "0xfffff8800496e634");
    session.mark_unloaded("myfault").unwrap();
    let json = check(&to_json(&session.leaks().unwrap()));
    assert_eq!(json["drivers"][0]["unloaded"]["bug_check"]["code"], 0xc4);
    check(&to_json(&hostile::report()));
}

#[test]
fn the_schema_wants_every_key_and_knows_them_all() {
    let report = to_json(&hostile::report());
    let json: Value = serde_json::from_str(&report).unwrap();
    let schema = schema();
    for key in json.as_object().unwrap().keys() {
        let mut less = json.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(!schema.is_valid(&less), "{key} is not required");
        let mut other = json.clone();
        other[key] = Value::Bool(true);
        assert!(!schema.is_valid(&other), "{key} can be anything");
    }
}
