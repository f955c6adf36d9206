//! The address of a ledger in PostgreSQL, as settings write it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

/// The schema that holds the ledger unless the address names another.
const DEFAULT_SCHEMA: &str = "placet";

/// The address of a ledger in PostgreSQL: `postgresql://user@host/database`, and `?schema=name` where the ledger is not
/// in the schema `placet`. It may hold a password, so it is shown without one.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    schema: String,
}

impl Address {
    /// Reads an address; `None` when it is of another kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, _) = text.split_once("://")?;
        if !matches!(scheme, "postgresql" | "postgres") {
            return None;
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let is_schema = |parameter: &&str| parameter.starts_with("schema=");
        let schema = query.split('&').find(is_schema).and_then(|one| one.strip_prefix("schema="));
        let rest: Vec<_> = query.split('&').filter(|one| !one.is_empty() && !is_schema(one)).collect();
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Some(Self { url, schema: schema.unwrap_or(DEFAULT_SCHEMA).to_owned() })
    }

    /// An address of any kind without password and parameters.
    pub(crate) fn masked(text: &str) -> String {
        let Some((scheme, rest)) = text.split_once("://") else { return String::new() };
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((user, place)) => {
                let user = user.split(':').next().unwrap_or_default();
                format!("{scheme}://{user}@{place}")
            }
            None => format!("{scheme}://{rest}"),
        }
    }

    /// The place that it names.
    ///
    /// # Errors
    /// [`BackendError`](crate::backend::BackendError) says what is wrong with the address, without its password.
    #[cfg(feature = "postgres")]
    pub fn backend(&self) -> Result<crate::postgres::Postgres, crate::backend::BackendError> {
        crate::postgres::Postgres::with_schema(&self.url, &self.schema)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Self::masked(&self.url))?;
        match &*self.schema {
            DEFAULT_SCHEMA => Ok(()),
            schema => write!(formatter, "?schema={schema}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgresql://ann:hunter2@db:5432/placet", "postgresql://ann@db:5432/placet"),
            ("postgres://ann:hun@ter2@db/placet?password=hunter2", "postgres://ann@db/placet"),
            ("postgresql:///placet?schema=audit&host=/run/pg", "postgresql:///placet?schema=audit"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("ter2"));
        }
        assert!(Address::parse("mysql://db/placet").is_none());
        assert!(Address::parse("placet.db").is_none());
    }

    #[test]
    fn the_schema_is_taken_out_of_the_address() {
        let read = |text: &str| {
            let Address { url, schema } = Address::parse(text).unwrap();
            (url, schema)
        };
        let of = |url: &str, schema: &str| (url.to_owned(), schema.to_owned());
        assert_eq!(read("postgresql://db/x"), of("postgresql://db/x", "placet"));
        assert_eq!(
            read("postgresql://db/x?schema=a&sslmode=disable"),
            of("postgresql://db/x?sslmode=disable", "a")
        );
        assert_eq!(read("postgresql://db/x?schema=a"), of("postgresql://db/x", "a"));
    }
}
