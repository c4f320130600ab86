//! Walking x64 stacks from unwind data.
