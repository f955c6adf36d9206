//! The placet command, as a library with a thin binary.
