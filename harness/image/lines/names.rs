//! The names of a PDB, of which those of source files are some: the stream called `/names`.

use super::{LineError, part, u32_at};
use pdb::{PDB, StreamIndex};

const INFORMATION_STREAM: StreamIndex = StreamIndex(1);
/// The stream's header: version, signature, age, GUID.
const INFORMATION_SIZE: usize = 28;
const NAMES: &[u8] = b"/names";
/// A string table's header: signature, version of the hashes, bytes of all strings.
const TABLE_HEADER_SIZE: usize = 12;
const TABLE_SIGNATURE: u32 = 0xeffe_effe;

/// The strings, each with a zero behind it; a name is known by where it is among them.
pub(super) fn read<'a, S: pdb::Source<'a> + 'a>(
    pdb: &mut PDB<'a, S>,
) -> Result<Vec<u8>, LineError> {
    let broken = |reason: &str| LineError::NoStream {
        what: "the names of files",
        reason: reason.to_owned(),
    };
    let mut open = |index| match pdb.raw_stream(index) {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(broken("there is no such stream")),
        Err(error) => Err(broken(&error.to_string())),
    };
    let information = open(INFORMATION_STREAM)?;
    let index = stream_of_names(information.as_slice());
    let index = index.ok_or_else(|| broken("the PDB names no such stream"))?;
    let table = open(StreamIndex(index))?;
    let table = table.as_slice();
    if u32_at(table, 0) != Some(TABLE_SIGNATURE) {
        return Err(broken("the stream is no string table"));
    }
    let strings = u32_at(table, 8).and_then(|size| part(table, TABLE_HEADER_SIZE, size));
    let strings = strings.ok_or_else(|| broken("it is longer than its stream"))?;
    Ok(strings.to_vec())
}

/// The number of the stream by the map of the streams that have names: the names, and then a hash table
/// ("The PDB Serialized Hash Table Format") from a name's place to the stream's number.
fn stream_of_names(information: &[u8]) -> Option<u16> {
    let size = u32_at(information, INFORMATION_SIZE)?;
    let strings = part(information, INFORMATION_SIZE + 4, size)?;
    let map = &information[INFORMATION_SIZE + 4 + strings.len()..];
    let count = u32_at(map, 0)? as usize;
    let mut at = 8;
    // Which buckets are in use, and which were once.
    for _ in 0..2 {
        let words = u32_at(map, at)?;
        at += 4 + part(map, at + 4, words.checked_mul(4)?)?.len();
    }
    let (entries, _) = map.get(at..)?.as_chunks::<8>();
    let is_it = |entry: &&[u8; 8]| {
        let name = u32_at(*entry, 0).and_then(|name| strings.get(name as usize..));
        let rest = name.and_then(|name| name.strip_prefix(NAMES));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    };
    let entry = entries.iter().take(count).find(is_it)?;
    u16::try_from(u32_at(entry, 4)?).ok()
}
