//! Parameters and local variables: what PDBs say of them, and what they are in a guest that runs.

mod guest;
mod hostile;
mod lines;
mod reader;
mod records;
