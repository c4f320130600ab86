//! The registry against a model: a map of paths to values. WDK: "ZwCreateKey", "ZwSetValueKey",
//! "ZwQueryValueKey", "ZwEnumerateKey" and so on.

mod guest;
mod model;
mod query_values;
mod services;
