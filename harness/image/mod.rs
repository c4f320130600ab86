//! PE images, their unwind data, and PDB files.
