//! The session's symbol path, and looking for PDBs on it.

use super::session::Session;
use crate::guest::{Reloaded, SymbolPath};

impl Session {
    /// Where PDBs are looked for.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.symbol_path().to_string(), "");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn symbol_path(&self) -> &SymbolPath {
        &self.state.symbol_path
    }

    /// Sets where PDBs are looked for. Nothing is looked for before
    /// [`reload_symbols`](Session::reload_symbols).
    ///
    /// ```
    /// use poolhit::{Lab, Session, guest::SymbolPath};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.set_symbol_path(SymbolPath::new("fixtures/prebuilt"));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn set_symbol_path(&mut self, path: SymbolPath) {
        self.state.symbol_path = path;
    }

    /// Looks for the PDBs of modules that have none, of one module or of all.
    ///
    /// ```
    /// use poolhit::{Lab, Session, guest::{ImageFile, SymbolPath}};
    /// let driver = ImageFile::open_with_pdb("fixtures/prebuilt/leaky.sys", None)?;
    /// let mut session = Session::new(Lab::builder().driver(driver).build()?);
    /// session.set_symbol_path(SymbolPath::new("fixtures/prebuilt"));
    /// session.reload_symbols(Some("leaky.sys"));
    /// assert!(session.resolve("leaky!CopyInput").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload_symbols(&mut self, module: Option<&str>) -> Vec<Reloaded> {
        let path = self.state.symbol_path.clone();
        let reloaded = self.lab.find_symbols(&path, module);
        self.modules = self.lab.modules();
        reloaded
    }
}
