//! What the debugger prints, against what others have published: the values of published sessions of x64
//! kernels give the text of these sessions, character by character. Each test names where its text is from.
//! What is left out is said beside it; nothing else of the texts is changed. `dt` has such tests of its own
//! (tests/display_type), and so have `.formats`, `.printf` and `!pte`, beside what they test.

mod display;
mod environment;
mod instructions;
mod kernel;
mod memory;
mod misc;
mod modules;
mod objects;
mod operands;
mod paging;
mod pool;
mod processes;
mod processors;
mod registers;
mod stacks;
mod symbols;
mod variables;
