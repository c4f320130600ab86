//! Random steps against a map of paths to values.

use crate::guest::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Delete(String),
    Set(String, String, u32, Vec<u8>),
    Remove(String, String),
}

/// Three levels of keys whose names differ in case, too.
fn any_path() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec!["a", "A", "b", "Long name", "é"]);
    proptest::collection::vec(name, 1..4).prop_map(|names| names.join("\\"))
}

fn any_name() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["", "v", "V", "w", "Ä"]).prop_map(str::to_owned)
}

fn any_step() -> impl Strategy<Value = Step> {
    let data = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        3 => any_path().prop_map(Step::Create),
        2 => any_path().prop_map(Step::Delete),
        4 => (any_path(), any_name(), 0..12_u32, data).prop_map(|(path, name, kind, data)| {
            Step::Set(path, name, kind, data)
        }),
        1 => (any_path(), any_name()).prop_map(|(path, name)| Step::Remove(path, name)),
    ]
}

/// Values in the order of their making: name, type, data.
type Values = Vec<(String, u32, Vec<u8>)>;
/// Keys by their paths in upper case, each with its name as it was made.
type Model = BTreeMap<String, (String, Values)>;

fn upper(text: &str) -> String {
    text.to_uppercase()
}

fn place(values: &Values, name: &str) -> Option<usize> {
    values
        .iter()
        .position(|value| upper(&value.0) == upper(name))
}

fn step(guest: &mut Guest, root: u64, model: &mut Model, step: Step) {
    match step {
        Step::Create(path) => {
            let key = upper(&path);
            let (parent, name) = path.rsplit_once('\\').unwrap_or(("", &path));
            let created = guest.create(root, &path, 0);
            if model.contains_key(&key) {
                let (handle, is_new) = created.unwrap();
                assert!(!is_new);
                guest.close(handle);
            } else if parent.is_empty() || model.contains_key(&upper(parent)) {
                let (handle, is_new) = created.unwrap();
                assert!(is_new);
                guest.close(handle);
                model.insert(key, (name.to_owned(), Vec::new()));
            } else {
                assert_eq!(created, Err(NAME_NOT_FOUND));
            }
        }
        Step::Delete(path) => {
            let key = upper(&path);
            let opened = guest.open(root, &path);
            assert_eq!(opened.is_ok(), model.contains_key(&key));
            let Ok(handle) = opened else {
                return;
            };
            let below = format!("{key}\\");
            let has_keys = model.keys().any(|other| other.starts_with(&below));
            let status = guest.status("ZwDeleteKey", &[handle]);
            assert_eq!(status, if has_keys { CANNOT_DELETE } else { SUCCESS });
            if !has_keys {
                model.remove(&key);
            }
            guest.close(handle);
        }
        Step::Set(path, name, kind, data) => {
            let Ok(handle) = guest.open(root, &path) else {
                assert!(!model.contains_key(&upper(&path)));
                return;
            };
            assert_eq!(guest.set(handle, &name, kind, &data), SUCCESS);
            guest.close(handle);
            let values = &mut model.get_mut(&upper(&path)).unwrap().1;
            match place(values, &name) {
                Some(at) => values[at] = (values[at].0.clone(), kind, data),
                None => values.push((name, kind, data)),
            }
        }
        Step::Remove(path, name) => {
            let Ok(handle) = guest.open(root, &path) else {
                return;
            };
            let string = guest.string(&name);
            let status = guest.status("ZwDeleteValueKey", &[handle, string]);
            guest.close(handle);
            let values = &mut model.get_mut(&upper(&path)).unwrap().1;
            let at = place(values, &name);
            assert_eq!(
                status,
                if at.is_some() {
                    SUCCESS
                } else {
                    NAME_NOT_FOUND
                }
            );
            at.map(|at| values.remove(at));
        }
    }
}

fn compare(guest: &mut Guest, root: u64, model: &Model) {
    for (path, (_, values)) in model {
        guest.used = 0;
        let key = guest.open(root, path).unwrap();
        let names: Vec<&String> = values.iter().map(|value| &value.0).collect();
        assert_eq!(guest.values(key).iter().collect::<Vec<_>>(), names);
        for (name, kind, data) in values {
            assert_eq!(guest.value(key, name), Ok((*kind, data.clone())));
        }
        let below = format!("{path}\\");
        let keys = model.iter().filter_map(|(other, (name, _))| {
            let rest = other.strip_prefix(&below)?;
            (!rest.contains('\\')).then_some(name)
        });
        assert_eq!(
            guest.keys(key).iter().collect::<Vec<_>>(),
            keys.collect::<Vec<_>>()
        );
        guest.close(key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_is_a_map(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut guest = Guest::new();
        let root = guest.open(0, ROOT).unwrap();
        let mut model = Model::new();
        for one in steps {
            guest.used = 0;
            step(&mut guest, root, &mut model, one);
        }
        compare(&mut guest, root, &model);
    }
}
