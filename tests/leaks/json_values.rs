//! What is written as JSON is read by another reader as it was.

use poolhit::report::json::JsonValue;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = JsonValue> {
    let leaf = prop_oneof![
        Just(JsonValue::Null),
        any::<bool>().prop_map(JsonValue::Bool),
        any::<u64>().prop_map(JsonValue::Number),
        any::<f64>().prop_map(JsonValue::Real),
        any::<String>().prop_map(JsonValue::Text),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop::sample::select(vec!["a", "b\"", "c\u{1}"]);
        let list = prop::collection::vec(inner.clone(), 0..8);
        let object = prop::collection::vec((key, inner), 0..8);
        prop_oneof![
            list.prop_map(JsonValue::List),
            object.prop_map(JsonValue::Object)
        ]
    })
}

/// Whether another reader of JSON reads the same.
fn is(value: &JsonValue, read: &serde_json::Value) -> bool {
    match value {
        JsonValue::Null => read.is_null(),
        JsonValue::Bool(value) => read.as_bool() == Some(*value),
        JsonValue::Number(value) => read.as_u64() == Some(*value),
        JsonValue::Real(value) if value.is_finite() => {
            // Reading may be off by the last bit.
            read.as_f64()
                .is_some_and(|read| (read - value).abs() <= value.abs() * 1e-15)
        }
        JsonValue::Real(_) => read.is_null(),
        JsonValue::Text(text) => read.as_str() == Some(text),
        JsonValue::List(values) => read.as_array().is_some_and(|read| {
            read.len() == values.len() && values.iter().zip(read).all(|(one, read)| is(one, read))
        }),
        JsonValue::Object(values) => read.as_object().is_some_and(|read| {
            // Of equal keys the last one counts.
            values.iter().enumerate().all(|(at, (key, value))| {
                let again = values[at + 1..].iter().any(|(other, _)| other == key);
                again || read.get(*key).is_some_and(|read| is(value, read))
            })
        }),
    }
}

proptest! {
    #[test]
    fn values_are_read_as_they_are(value in value()) {
        let read: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
        prop_assert!(is(&value, &read), "{value}");
    }
}
