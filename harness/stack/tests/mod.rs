//! Tests of the unwinder.
