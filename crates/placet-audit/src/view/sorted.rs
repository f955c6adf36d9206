//! Writes a view member by member, where the program knows the keys and their order.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde::Serialize;

use super::{BLANK, USUAL_BYTES, ViewError};
use crate::canonical::{is_plain, write_string};
use crate::leaf::writer::{Numbers, Writer};

/// A view that is being written, in canonical JSON with a blank for its salt. Nothing is put in order here: the keys of
/// each object are given in the order of their characters, and are ASCII in which nothing has to be escaped.
#[derive(Debug)]
pub struct Sorted {
    /// Each value ends with a comma, the last one of an object too until the object ends.
    writer: Writer,
    /// The last key of the object that is open.
    last: &'static str,
}

impl Default for Sorted {
    fn default() -> Self {
        let mut out = String::with_capacity(USUAL_BYTES);
        out.push_str(BLANK);
        out.push(',');
        Self { writer: Writer::new(out, Numbers::All), last: "" }
    }
}

impl Sorted {
    /// The key of a member, whose value is to follow.
    pub fn key(&mut self, key: &'static str) -> &mut Self {
        debug_assert!(self.last < key && is_plain(key), "`{key}` does not follow `{}`", self.last);
        self.last = key;
        let out = &mut self.writer.out;
        out.reserve(key.len().saturating_add(3));
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        write_string(text, &mut self.writer.out);
        self.writer.out.push(',');
    }

    /// A word of JSON: `true`, `false`, `null`; or a number.
    fn word(&mut self, word: &str) {
        self.writer.out.push_str(word);
        self.writer.out.push(',');
    }

    /// True or false.
    pub fn flag(&mut self, flag: bool) {
        self.word(if flag { "true" } else { "false" });
    }

    /// Null.
    pub fn null(&mut self) {
        self.word("null");
    }

    /// A number without a fraction.
    pub fn number(&mut self, number: u32) {
        self.word(itoa::Buffer::new().format(number));
    }

    /// Any value.
    ///
    /// # Errors
    /// [`ViewError`] for one that is no JSON.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), ViewError> {
        value.serialize(&mut self.writer).map_err(|stop| ViewError(stop.to_string()))?;
        self.writer.out.push(',');
        Ok(())
    }

    /// An object of the members that are written.
    ///
    /// # Errors
    /// Those of `members`.
    pub fn object<E>(&mut self, members: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let around = std::mem::take(&mut self.last);
        self.writer.out.push('{');
        members(self)?;
        self.close("},");
        self.last = around;
        Ok(())
    }

    /// A list of the items, each as it is written.
    ///
    /// # Errors
    /// Those of `item`.
    pub fn list<T, E>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Self, T) -> Result<(), E>,
    ) -> Result<(), E> {
        self.writer.out.push('[');
        items.into_iter().try_for_each(|value| item(self, value))?;
        self.close("],");
        Ok(())
    }

    fn close(&mut self, end: &str) {
        if self.writer.out.ends_with(',') {
            self.writer.out.pop();
        }
        self.writer.out.push_str(end);
    }

    /// The text, as [`super::salted`] takes it.
    #[must_use]
    pub fn end(mut self) -> String {
        self.close("}");
        self.writer.out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::view::unsalted;

    #[test]
    fn members_are_written_as_by_the_slow_way() {
        let odd = "\u{1}\"\\\u{1f600}, ";
        let mut out = Sorted::default();
        out.key("args").value(&json!({"b": [1, {}], "a": 1.5})).unwrap();
        let object = |out: &mut Sorted| {
            out.key("a").flag(true);
            out.key("b").object(|_| Ok::<_, ViewError>(()))?;
            out.key("c").null();
            Ok::<_, ViewError>(())
        };
        out.key("context").object(object).unwrap();
        out.key("items")
            .list([7, 8], |out, item| {
                out.number(item);
                Ok::<_, ViewError>(())
            })
            .unwrap();
        out.key("none").list([(); 0], |_, ()| Ok::<_, ViewError>(())).unwrap();
        out.key("text").text(odd);
        let slow = json!({
            "args": {"b": [1, {}], "a": 1.5}, "context": {"a": true, "b": {}, "c": Value::Null}, "items": [7, 8],
            "none": [], "text": odd,
        });
        assert_eq!(out.end(), unsalted(&slow).unwrap());
        assert_eq!(Sorted::default().end(), unsalted(&json!({})).unwrap());
        assert!(Sorted::default().key("a").value(&f64::NAN).is_err());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "`a` does not follow `b`")]
    fn keys_out_of_order_are_noticed() {
        Sorted::default().key("b").key("a");
    }
}
