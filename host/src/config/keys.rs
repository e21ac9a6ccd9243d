//! Which keys a table may have, asked of the types that read them. Knows no source.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::layer::{
    AccessKeys, CallbacksKeys, JobsKeys, Layer, LogKeys, PluginKeys, PluginsKeys, RetentionKeys,
    ServerKeys, TelemetryKeys, TlsKeys, WorkersKeys,
};

/// The tables whose keys are known by name, in the order of the documentation.
pub(super) const TABLES: [&[&str]; 11] = [
    &["server"],
    &["server", "tls"],
    &["access"],
    &["plugins"],
    &["plugins", "defaults"],
    &["workers"],
    &["jobs"],
    &["jobs", "retention"],
    &["jobs", "callbacks"],
    &["log"],
    &["telemetry"],
];

/// The keys of the table at `path`; nothing where any key may stand, or where there is no table.
pub(super) fn of(path: &[&str]) -> Option<&'static [&'static str]> {
    match path {
        [] => fields::<Layer>(),
        ["server"] => fields::<ServerKeys>(),
        ["server", "tls"] => fields::<TlsKeys>(),
        ["access"] => fields::<AccessKeys>(),
        ["plugins"] => fields::<PluginsKeys>(),
        ["plugins", "defaults"] | ["plugin", _] => fields::<PluginKeys>(),
        ["workers"] => fields::<WorkersKeys>(),
        ["jobs"] => fields::<JobsKeys>(),
        ["jobs", "retention"] => fields::<RetentionKeys>(),
        ["jobs", "callbacks"] => fields::<CallbacksKeys>(),
        ["log"] => fields::<LogKeys>(),
        ["telemetry"] => fields::<TelemetryKeys>(),
        _ => None,
    }
}

/// Whether only a table can stand at `path`.
pub(super) fn is_table(path: &[&str]) -> bool {
    path == ["plugin"] || of(path).is_some()
}

/// Where a key of this very name would stand.
pub(super) fn home(key: &str) -> Option<String> {
    let has = |table: &&[&str]| of(table).is_some_and(|keys| keys.contains(&key));
    let table = TABLES.into_iter().find(has)?;
    Some([table, &[key]].concat().join("."))
}

/// The fields that a struct asks for: the list is derived, so it cannot fall behind the struct.
fn fields<'de, T: Deserialize<'de>>() -> Option<&'static [&'static str]> {
    let mut fields = None;
    // It always fails, as there is nothing to read.
    let _ = T::deserialize(Probe(&mut fields));
    fields
}

struct Probe<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing to read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_types() {
        assert_eq!(of(&["log"]), Some(["level", "format"].as_slice()));
        assert_eq!(of(&["plugin", "qr"]), of(&["plugins", "defaults"]));
        assert_eq!(of(&["plugin", "qr", "settings"]), None);
        for table in TABLES {
            assert!(of(table).is_some(), "{table:?}");
        }
    }
}
