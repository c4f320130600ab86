//! Source lines: what a PDB says of them, and that reports of leaks name the line of a driver that leaks.

mod driver;
mod formats;
mod hostile;
mod passing;
mod reports;
mod stops;
mod table;
