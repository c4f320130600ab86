//! The debugger: how command lines, expressions and address ranges are read.
