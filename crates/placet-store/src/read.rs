//! Reading a ledger wherever it is kept: never making, migrating or writing one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::verify::{EntrySource, SourceError};

use crate::place::{Place, PlaceError};
use crate::sqlite::SqliteSource;

/// A ledger that is opened for reading: one moment of it.
pub trait Reader: EntrySource {
    /// The name of the log, as its head states it. Nothing vouches for it but a checkpoint.
    ///
    /// # Errors
    /// [`SourceError`] when there is no readable head.
    fn origin(&mut self) -> Result<String, SourceError>;

    /// Goes on after this position.
    fn seek(&mut self, after: u64);
}

impl Reader for SqliteSource {
    fn origin(&mut self) -> Result<String, SourceError> {
        Self::origin(self)
    }

    fn seek(&mut self, after: u64) {
        Self::seek(self, after);
    }
}

#[cfg(feature = "postgres")]
impl Reader for crate::postgres::PostgresSource {
    fn origin(&mut self) -> Result<String, SourceError> {
        Self::origin(self)
    }

    fn seek(&mut self, after: u64) {
        Self::seek(self, after);
    }
}

impl Place {
    /// Opens the ledger that is kept here, which must exist.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] when nothing is kept, it is not there, or it cannot be read.
    pub fn read(&self) -> Result<Box<dyn Reader>, SourceError> {
        let unavailable = |cause: String| SourceError::Unavailable { cause };
        match self {
            Self::Sqlite(path) => Ok(Box::new(SqliteSource::open(path)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => {
                let place =
                    address.backend().map_err(|error| unavailable(format!("`{address}`: {error}")))?;
                Ok(Box::new(crate::postgres::PostgresSource::open(&place)?))
            }
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(address) => Err(unavailable(PlaceError::NotBuilt(address.clone()).to_string())),
            Self::Off | Self::Memory => Err(unavailable(PlaceError::NotKept.to_string())),
        }
    }
}
