//! The face of Placet for Rust users.
