//! occurrence
