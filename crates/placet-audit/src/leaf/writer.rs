//! Writes the canonical form of a record directly: members are put in order as each object ends.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Serializer};
use smallvec::SmallVec;

use super::MAX_INTEGER;
use crate::canonical::{is_plain, utf16_order, write_float, write_string};

/// The room that a usual record needs, in bytes.
const USUAL_BYTES: usize = 1_024;

/// How many members of objects are open in a usual record.
const USUAL_MEMBERS: usize = 32;

/// Why a value has no canonical form.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A number that a leaf may not hold.
    Number(String),
    /// Something that is no JSON, or that refused to be written.
    Shape(String),
}

impl Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Number(text) | Self::Shape(text)) = self;
        formatter.write_str(text)
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

/// The canonical text of a value that holds no number but integers up to [`MAX_INTEGER`].
pub(super) fn text(value: &impl Serialize) -> Result<String, Stop> {
    write(value, Numbers::Integers, String::with_capacity(USUAL_BYTES))
}

/// The canonical text of a value with any numbers, after what stands before it.
pub(crate) fn any_text(value: &impl Serialize, before: String) -> Result<String, Stop> {
    write(value, Numbers::All, before)
}

fn write(value: &impl Serialize, numbers: Numbers, out: String) -> Result<String, Stop> {
    let mut writer = Writer::new(out, numbers);
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// Which numbers may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Integers up to [`MAX_INTEGER`].
    Integers,
    All,
}

/// Writes values one after the other.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) out: String,
    numbers: Numbers,
    /// The members of all objects that are open, each object's after those of the one around it.
    members: SmallVec<[Member; USUAL_MEMBERS]>,
}

/// A member of an object, by its place in the text; it ends, with a comma, where the next one begins.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// Its key, where the program has it and its bytes are in the order of its characters.
    known: Option<&'static str>,
    /// Where its key begins, with a quotation mark.
    start: usize,
    /// Where its key ends, with another.
    key_end: usize,
}

impl Writer {
    pub(crate) fn new(out: String, numbers: Numbers) -> Self {
        Self { out, numbers, members: SmallVec::new() }
    }

    fn integer(&mut self, negative: bool, size: u64) -> Result<(), Stop> {
        if size > MAX_INTEGER && self.numbers == Numbers::Integers {
            let sign = if negative { "-" } else { "" };
            return Err(Stop::Number(format!("{sign}{size}")));
        }
        if negative {
            self.out.push('-');
        }
        self.out.push_str(itoa::Buffer::new().format(size));
        Ok(())
    }

    fn float(&mut self, float: f64) -> Result<(), Stop> {
        if self.numbers == Numbers::Integers || !float.is_finite() {
            return Err(Stop::Number(float.to_string()));
        }
        write_float(float, &mut self.out);
        Ok(())
    }

    /// Begins a member of an object whose members begin with the `first` of all open ones; says whether it follows
    /// the one before it.
    fn begin_member(
        &mut self,
        first: usize,
        known: Option<&'static str>,
        write_key: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        let start = self.out.len();
        write_key(self)?;
        let member = Member { known, start, key_end: self.out.len() };
        let before = self.members.get(first..).and_then(|members| members.last());
        let follows = before.is_none_or(|before| self.order(*before, member).is_le());
        self.out.push(':');
        self.members.push(member);
        Ok(follows)
    }

    fn order(&self, left: Member, right: Member) -> Ordering {
        match (left.known, right.known) {
            (Some(left), Some(right)) => plain_order(left, right),
            _ => utf16_order(&self.key(left), &self.key(right)),
        }
    }

    /// The key of a member, read back from the text.
    fn key(&self, member: Member) -> Cow<'_, str> {
        let quoted = self.out.get(member.start..member.key_end).unwrap_or_default();
        match quoted.bytes().any(|byte| byte == b'\\') {
            false => Cow::Borrowed(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()),
            true => Cow::Owned(serde_json::from_str(quoted).unwrap_or_default()),
        }
    }

    /// Puts the members of an object in order.
    #[cold]
    fn sort(&mut self, first: usize, body: usize) {
        let end = self.out.len();
        let members = self.members.get(first..).unwrap_or_default();
        let ends = members.iter().skip(1).map(|member| member.start).chain([end]);
        let mut spans: SmallVec<[_; USUAL_MEMBERS]> = members.iter().copied().zip(ends).collect();
        spans.sort_by(|(left, _), (right, _)| self.order(*left, *right));
        let mut sorted = String::with_capacity(end.saturating_sub(body));
        for (member, end) in spans {
            sorted.push_str(self.out.get(member.start..end).unwrap_or_default());
        }
        self.out.truncate(body);
        self.out.push_str(&sorted);
    }
}

/// The order of two plain keys, which mostly differ in what they begin with.
#[inline]
fn plain_order(left: &str, right: &str) -> Ordering {
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(one), Some(other)) if one != other => one.cmp(other),
        _ => left.cmp(right),
    }
}

/// An object or array that is being written.
pub(crate) struct Open<'w> {
    writer: &'w mut Writer,
    first: usize,
    body: usize,
    /// Whether its members came in order so far.
    ordered: bool,
    /// Whether it is the only member of an object around it.
    wrapped: bool,
}

impl<'w> Open<'w> {
    fn new(writer: &'w mut Writer, variant: Option<&str>, bracket: char) -> Self {
        if let Some(variant) = variant {
            writer.out.push('{');
            write_string(variant, &mut writer.out);
            writer.out.push(':');
        }
        writer.out.push(bracket);
        let (first, body) = (writer.members.len(), writer.out.len());
        Self { writer, first, body, ordered: true, wrapped: variant.is_some() }
    }

    fn member<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Stop> {
        match is_plain(key) {
            true => self.begin(Some(key), |writer| {
                writer.out.reserve(key.len().saturating_add(3));
                writer.out.push('"');
                writer.out.push_str(key);
                writer.out.push('"');
                Ok(())
            })?,
            false => self.begin(None, |writer| writer.serialize_str(key))?,
        }
        self.value(value)
    }

    fn begin(
        &mut self,
        known: Option<&'static str>,
        write_key: impl FnOnce(&mut Writer) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let follows = self.writer.begin_member(self.first, known, write_key)?;
        self.ordered &= follows;
        Ok(())
    }

    fn value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        value.serialize(&mut *self.writer)?;
        self.writer.out.push(',');
        Ok(())
    }

    fn end_object(self) -> Result<(), Stop> {
        if !self.ordered {
            self.writer.sort(self.first, self.body);
        }
        if self.writer.out.len() > self.body {
            self.writer.out.pop();
        }
        self.writer.members.truncate(self.first);
        self.writer.out.push('}');
        self.close();
        Ok(())
    }

    fn end_array(self) -> Result<(), Stop> {
        if self.writer.out.len() > self.body {
            self.writer.out.pop();
        }
        self.writer.out.push(']');
        self.close();
        Ok(())
    }

    fn close(self) {
        if self.wrapped {
            self.writer.out.push('}');
        }
    }
}

macro_rules! integers {
    ($($signed:ident: $from:ty),*; $($unsigned:ident: $into:ty),*) => {
        $(fn $signed(self, value: $from) -> Result<(), Stop> {
            self.integer(value < 0, i64::from(value).unsigned_abs())
        })*
        $(fn $unsigned(self, value: $into) -> Result<(), Stop> {
            self.integer(false, u64::from(value))
        })*
    };
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Open<'w>;
    type SerializeTuple = Open<'w>;
    type SerializeTupleStruct = Open<'w>;
    type SerializeTupleVariant = Open<'w>;
    type SerializeMap = Open<'w>;
    type SerializeStruct = Open<'w>;
    type SerializeStructVariant = Open<'w>;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64;
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    fn serialize_bool(self, value: bool) -> Result<(), Stop> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        self.float(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        self.float(value)
    }

    fn serialize_char(self, value: char) -> Result<(), Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Stop> {
        write_string(value, &mut self.out);
        Ok(())
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<(), Stop> {
        Err(Stop::Shape("bytes are no JSON".to_owned()))
    }

    fn serialize_none(self) -> Result<(), Stop> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        self.out.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Stop> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Stop> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        let mut open = Open::new(self, None, '{');
        open.member(variant, value)?;
        open.end_object()
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, None, '['))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, None, '['))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, None, '['))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, Some(variant), '['))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, None, '{'))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, None, '{'))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Open<'w>, Stop> {
        Ok(Open::new(self, Some(variant), '{'))
    }
}

impl ser::SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_array()
    }
}

impl ser::SerializeTuple for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_array()
    }
}

impl ser::SerializeTupleStruct for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_array()
    }
}

impl ser::SerializeTupleVariant for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_array()
    }
}

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Stop> {
        self.begin(None, |writer| {
            let start = writer.out.len();
            key.serialize(&mut *writer)?;
            let is_text = writer.out.get(start..).is_some_and(|key| key.starts_with('"'));
            if is_text { Ok(()) } else { Err(Stop::Shape("a key is no text".to_owned())) }
        })
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stop> {
        self.value(value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_object()
    }
}

impl ser::SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Stop> {
        self.member(key, value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_object()
    }
}

impl ser::SerializeStructVariant for Open<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Stop> {
        self.member(key, value)
    }

    fn end(self) -> Result<(), Stop> {
        self.end_object()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use placet_types::Digest;
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Shape {
        Unit,
        New(i32),
        Tuple(u8, Option<bool>),
        Fields { zed: (), alpha: char, middle: Vec<u64> },
    }

    #[derive(Serialize)]
    struct Nested {
        shapes: Vec<Shape>,
        digest: Digest,
        map: HashMap<String, Shape>,
        empty: HashMap<String, u8>,
        none: [u8; 0],
        pair: (i64, &'static str),
    }

    /// The slow way: through a tree of values.
    fn oracle(value: &impl Serialize) -> String {
        crate::canonical::text(&serde_json::to_value(value).unwrap())
    }

    #[test]
    fn every_shape_is_written_as_through_a_tree_of_values() {
        let fields = || Shape::Fields { zed: (), alpha: '"', middle: vec![MAX_INTEGER, 0] };
        let shapes = || vec![Shape::Unit, Shape::New(-7), Shape::Tuple(3, None), fields()];
        let keys = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}", "a\"b", ""];
        let map = keys.iter().map(|key| ((*key).to_owned(), fields())).collect();
        let pair = (-(MAX_INTEGER as i64), "\u{7}\u{8}\\ \u{1f600}");
        let nested =
            Nested { shapes: shapes(), digest: Digest([9; 32]), map, empty: HashMap::new(), none: [], pair };
        assert_eq!(text(&nested).unwrap(), oracle(&nested));
        assert_eq!(text(&nested).unwrap(), serde_jcs::to_string(&nested).unwrap());
    }

    #[test]
    fn only_integers_that_every_reader_keeps_are_written() {
        assert!(matches!(text(&(MAX_INTEGER + 1)), Err(Stop::Number(_))));
        assert!(matches!(text(&i64::MIN), Err(Stop::Number(_))));
        assert!(matches!(text(&[1.0]), Err(Stop::Number(_))));
        assert!(matches!(text(&HashMap::from([(1, 2)])), Err(Stop::Shape(_))));
        assert!(matches!(any_text(&[f64::NAN], String::new()), Err(Stop::Number(_))));
    }

    proptest! {
        #[test]
        fn all_numbers_are_written_as_by_the_slow_way(
            floats in proptest::collection::vec(proptest::num::f64::NORMAL | proptest::num::f64::ZERO, 0..8),
            integers: Vec<i64>,
            text in "\\PC{0,8}[\u{0}-\u{1f}\"\\\\]{0,2}\\PC{0,2}",
        ) {
            let value = (floats, integers, text);
            prop_assert_eq!(any_text(&value, String::new()).unwrap(), oracle(&value));
        }

        #[test]
        fn maps_are_sorted_as_by_the_slow_way(
            map in proptest::collection::hash_map("\\PC{0,4}", proptest::collection::hash_map("\\PC{0,4}", 0..9, 0..4), 0..6)
        ) {
            prop_assert_eq!(text(&map).unwrap(), oracle(&map));
        }
    }
}
