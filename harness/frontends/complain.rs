//! What goes to standard error.

use std::fmt;
use std::io::{self, Write};

/// Writes a line to standard error, with the program's name in front. If that cannot be written there is
/// nobody to tell, and the work goes on.
///
/// ```
/// poolhit::frontends::complain(format_args!("{}: it is empty", "my.sys"));
/// ```
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "poolhit: {text}");
}
