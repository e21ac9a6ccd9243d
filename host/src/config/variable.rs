//! Reads one text as a layer, key by key: from a variable of the environment, whose value has no type of its own.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// The tables around one value, outermost first, and the value.
#[derive(Clone, Copy)]
struct Nested<'a> {
    path: &'a [&'a str],
    text: &'a str,
}

/// A `T` in which only the key at `path` is set, to `text`.
pub(super) fn read<'a, T: Deserialize<'a>>(path: &'a [&'a str], text: &'a str) -> Result<T, Error> {
    T::deserialize(Nested { path, text })
}

impl<'de> IntoDeserializer<'de, Error> for Nested<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A table while there is a path, then whatever is asked for.
impl<'de> Deserializer<'de> for Nested<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.path, self.text.parse()) {
            ([key, path @ ..], _) => {
                let inner = Nested { path, ..self };
                visitor.visit_map(MapDeserializer::new([(*key, inner)].into_iter()))
            }
            ([], Ok(number)) => visitor.visit_i64(number),
            ([], Err(_)) => visitor.visit_borrowed_str(self.text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text.parse() {
            Ok(flag) => visitor.visit_bool(flag),
            Err(_) => Err(Error::invalid_type(Unexpected::Str(self.text), &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(StrDeserializer::new(self.text))
    }

    /// The value of a table is written as in the file: `{ size = 3 }`.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        toml::de::ValueDeserializer::parse(self.text)
            .and_then(|value| value.deserialize_map(visitor))
            .map_err(|error| short(&error))
    }

    /// The items of a list stand between commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = self.text.split(',').map(str::trim);
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct struct identifier ignored_any
    }
}

/// Without the picture of the source that a parser's error brings along.
fn short(error: &toml::de::Error) -> Error {
    Error::custom(error.message())
}
