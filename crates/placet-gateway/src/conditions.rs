//! Conditional requests: entity tags, `If-Match` and `If-None-Match`.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests>
// SPDX-License-Identifier: MIT OR Apache-2.0

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::Problem;

/// The tags of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`.
    Any,
    /// These; the flag says that a tag is weak.
    Of(Vec<(bool, String)>),
}

impl Tags {
    /// `If-Match` of a request.
    pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::read(headers, &header::IF_MATCH)
    }

    /// `If-None-Match` of a request.
    pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::read(headers, &header::IF_NONE_MATCH)
    }

    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let mut lines = Vec::new();
        for value in headers.get_all(name) {
            lines.push(value.to_str().map_err(|_| malformed(name))?);
        }
        if lines.is_empty() {
            return Ok(None);
        }
        Self::parse(&lines.join(",")).map(Some).ok_or_else(|| malformed(name))
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = text.trim_start_matches([' ', '\t', ',']);
        while !rest.is_empty() {
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
            if tag.chars().any(|letter| letter.is_control() || letter == ' ') {
                return None;
            }
            tags.push((weak, tag.to_owned()));
            let after = after.trim_start_matches([' ', '\t']);
            if !after.is_empty() && !after.starts_with(',') {
                return None;
            }
            rest = after.trim_start_matches([' ', '\t', ',']);
        }
        (!tags.is_empty()).then_some(Self::Of(tags))
    }

    /// Whether a tag is one of them, compared strongly: a weak tag is never the same.
    pub(crate) fn strongly(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|(weak, known)| !weak && known == tag),
        }
    }

    /// Whether a tag is one of them, weak or not.
    pub(crate) fn weakly(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|(_, known)| known == tag),
        }
    }
}

fn malformed(name: &HeaderName) -> Problem {
    let text =
        "is neither `*` nor a list of quoted tags; send the `ETag` of `GET /v1/approvals/{id}` as it came";
    Problem::malformed(format!("the header `{name}` {text}"))
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn tags_are_read_as_the_standard_writes_them() {
        let of = |tags: &[(bool, &str)]| {
            Some(Tags::Of(tags.iter().map(|(weak, tag)| (*weak, (*tag).to_owned())).collect()))
        };
        assert_eq!(Tags::parse(" * "), Some(Tags::Any));
        assert_eq!(Tags::parse("\"a\""), of(&[(false, "a")]));
        assert_eq!(Tags::parse("\"a\" , W/\"b,c\",\"\""), of(&[(false, "a"), (true, "b,c"), (false, "")]));
        for wrong in ["", ",", "a", "\"a", "\"a\" \"b\"", "w/\"a\"", "\"a b\"", "*, \"a\""] {
            assert_eq!(Tags::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_weak_tag_matches_only_weakly() {
        let tags = Tags::parse("W/\"a\"").unwrap_or(Tags::Any);
        assert!(!tags.strongly("a") && tags.weakly("a") && !tags.weakly("b"));
    }
}
