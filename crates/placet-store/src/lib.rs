//! Placet's ledger over memory, SQLite and PostgreSQL.
// SPDX-License-Identifier: MIT OR Apache-2.0
