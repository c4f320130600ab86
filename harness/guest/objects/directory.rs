//! Directories of objects, and finding an object by its path.

use super::ObjectError;
use super::fields::Fields;
use super::list::{ListEnd, OBJECT_LIMIT, chain};
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::ReadMemory;

/// `_OBJECT_DIRECTORY.HashBuckets`, at its start.
const BUCKETS: u64 = 37;
/// `_OBJECT_DIRECTORY_ENTRY.Object`; `ChainLink` is at its start.
const ENTRY_OBJECT: u64 = 8;
/// The most names that are collected, and the most directories in each other.
const MOST_NAMES: usize = 10_000;
const MOST_LEVELS: usize = 8;
/// How many symbolic links lead to each other at most.
const LINKS: usize = 8;
/// `_OBJECT_SYMBOLIC_LINK.LinkTarget`.
const LINK_TARGET: u64 = 8;

/// An object in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryEntry {
    /// The number of its bucket.
    pub bucket: u64,
    /// The object.
    pub object: Va,
    /// Its type's name.
    pub type_name: String,
    /// Its name.
    pub name: String,
}

/// An object that has a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedObject {
    /// The whole path: `\Device\Myfault`.
    pub path: String,
    /// Its type's name.
    pub type_name: String,
    /// The object.
    pub object: Va,
}

/// What is in a directory of objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Its objects, bucket by bucket.
    pub entries: Vec<DirectoryEntry>,
    /// What it says are objects, and is none, with the number of the bucket.
    pub unknown: Vec<(u64, Va)>,
    /// The buckets whose list does not end with a NULL link, and how it does.
    pub damage: Vec<(u64, ListEnd)>,
}

impl Lab {
    /// What is in a directory of objects, by its address; nothing but damage if none is there.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let drivers = lab.object_directory(lab.find_object(r"\Driver")?);
    /// assert!(drivers.entries.iter().any(|entry| entry.name == "myfault" && entry.type_name == "Driver"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn object_directory(&self, directory: Va) -> Directory {
        let memory = self.machine();
        let mut found = Directory {
            entries: Vec::new(),
            unknown: Vec::new(),
            damage: Vec::new(),
        };
        for bucket in 0..BUCKETS {
            let at = directory.wrapping_add(bucket * 8);
            let Ok(first) = memory.read_va(at) else {
                found.damage.push((bucket, ListEnd::Unreadable(at)));
                break;
            };
            let list = chain(memory, first, 0);
            found
                .damage
                .extend(list.damage().map(|damage| (bucket, damage)));
            for entry in list {
                if found.entries.len() + found.unknown.len() == OBJECT_LIMIT {
                    found.damage.push((bucket, ListEnd::Limit));
                    return found;
                }
                let object = memory.read_va(entry.wrapping_add(ENTRY_OBJECT));
                let object = object.unwrap_or_default();
                match self.object_header(object) {
                    Ok(header) => found.entries.push(DirectoryEntry {
                        bucket,
                        object: header.address,
                        type_name: header.type_name,
                        name: header.name,
                    }),
                    Err(_) => found.unknown.push((bucket, object)),
                }
            }
        }
        found
    }

    /// The objects with a path, each directory's bucket by bucket with what is in a directory behind it; as
    /// far as the directories make sense, at most 10,000, from eight directories in each other.
    ///
    /// ```
    /// let named = poolhit::Lab::builder().build()?.named_objects();
    /// let device = named.iter().find(|one| one.path == r"\Device\Myfault").unwrap();
    /// assert_eq!(device.type_name, "Device");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn named_objects(&self) -> Vec<NamedObject> {
        let mut all = Vec::new();
        if let Ok(root) = self.root_directory() {
            self.collect_named(root, "", MOST_LEVELS, &mut all);
        }
        all
    }

    fn collect_named(&self, from: Va, path: &str, levels: usize, all: &mut Vec<NamedObject>) {
        for entry in self.object_directory(from).entries {
            if all.len() == MOST_NAMES {
                return;
            }
            let DirectoryEntry {
                object,
                type_name,
                name,
                ..
            } = entry;
            let path = format!(r"{path}\{name}");
            let is_directory = type_name == "Directory";
            all.push(NamedObject {
                path: path.clone(),
                type_name,
                object,
            });
            if is_directory && levels > 1 {
                self.collect_named(object, &path, levels - 1, all);
            }
        }
    }

    /// The object with this path: `\Driver\myfault`. Symbolic links on the way are followed, one at its
    /// end is not. Names are compared without case.
    ///
    /// # Errors
    /// There is none, or the kernel has no directories.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let device = lab.find_object(r"\device\MYFAULT")?;
    /// assert_eq!(lab.object_header(device)?.type_name, "Device");
    /// assert_eq!(lab.find_object(r"\nothing").unwrap_err().to_string(), r"Object \nothing not found");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_object(&self, path: &str) -> Result<Va, ObjectError> {
        let root = self.root_directory()?;
        let not_found = || ObjectError::NotFound(path.to_string());
        let mut left: Vec<String> = parts(path);
        let mut at = root;
        let mut links = 0;
        while let Some(name) = left.pop() {
            let directory = self.object_directory(at);
            let found = directory
                .entries
                .into_iter()
                .find(|entry| entry.name.eq_ignore_ascii_case(&name))
                .ok_or_else(not_found)?;
            at = found.object;
            if left.is_empty() || found.type_name == "Directory" {
                continue;
            }
            let target = self.link_target(at).ok_or_else(not_found)?;
            links += 1;
            if links > LINKS {
                return Err(not_found());
            }
            left.extend(parts(&target));
            at = root;
        }
        Ok(at)
    }

    /// The directory that all paths begin at.
    ///
    /// # Errors
    /// The kernel has none.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let names = lab.object_directory(lab.root_directory()?);
    /// assert!(names.entries.iter().any(|entry| entry.name == "Device"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn root_directory(&self) -> Result<Va, ObjectError> {
        const ROOT: &str = "ObpRootDirectoryObject";
        let root = self
            .kernel_symbol(ROOT)
            .ok_or(ObjectError::NoSymbol(ROOT))?;
        Ok(self.machine().read_va(root)?)
    }

    /// What a symbolic link leads to; `None` for any other object.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let link = lab.find_object(r"\GLOBAL??\Myfault")?;
    /// assert_eq!(lab.link_target(link).as_deref(), Some(r"\Device\Myfault"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn link_target(&self, link: Va) -> Option<String> {
        if !self.is_of_type(link, "SymbolicLink") {
            return None;
        }
        let fields = Fields {
            memory: self.machine(),
            at: link,
        };
        Some(fields.text(LINK_TARGET))
    }
}

/// A path's names, the first last.
fn parts(path: &str) -> Vec<String> {
    let names = path.split('\\').filter(|name| !name.is_empty());
    names.rev().map(str::to_string).collect()
}
