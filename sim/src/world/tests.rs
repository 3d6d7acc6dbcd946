//! Tests over whole worlds.
