//! The built-in images and PDBs with bytes changed or cut off: each file is refused with an error,
//! or what is loaded runs to a stop.

use crate::support::look;
use poolhit::guest::{GuestImages, ImageFile, LabError};
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt::{self, File};
use proptest::prelude::*;
use std::sync::OnceLock;

/// The images with their PDBs: kernel, driver, program, and the libraries in the lab's order.
const FILES: [(File, Option<File>); 6] = [
    (prebuilt::KERNEL, Some(prebuilt::KERNEL_PDB)),
    (prebuilt::DRIVER, None),
    (prebuilt::PROGRAM, None),
    (prebuilt::NTDLL, Some(prebuilt::NTDLL_PDB)),
    (prebuilt::KERNELBASE, Some(prebuilt::KERNELBASE_PDB)),
    (prebuilt::KERNEL32, Some(prebuilt::KERNEL32_PDB)),
];

/// One way to break a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Bit(u8),
    Byte(u8),
    Word(u32),
    Cut,
}

fn damage() -> impl Strategy<Value = (bool, prop::sample::Index, Damage)> {
    let word = prop_oneof![
        prop::sample::select(vec![0, 1, 0x1000, 0x7fff_ffff, 0x8000_0000, u32::MAX]),
        any::<u32>(),
    ];
    let how = prop_oneof![
        5 => (0u8..8).prop_map(Damage::Bit),
        3 => any::<u8>().prop_map(Damage::Byte),
        5 => word.prop_map(Damage::Word),
        1 => Just(Damage::Cut),
    ];
    (prop::bool::weighted(0.3), any::<prop::sample::Index>(), how)
}

/// The places of a file that say something: neither zeros nor the filler between functions.
fn telling(file: &File) -> &'static [usize] {
    static ALL: OnceLock<Vec<(&str, Vec<usize>)>> = OnceLock::new();
    let places = |file: &File| {
        let says = |at: &usize| !matches!(file.bytes[*at], 0 | 0x90 | 0xcc);
        (0..file.bytes.len()).filter(says).collect()
    };
    let all = ALL.get_or_init(|| prebuilt::ALL.iter().map(|f| (f.name, places(f))).collect());
    let found = all.iter().find(|(name, _)| *name == file.name);
    found.map_or(&[], |(_, places)| places)
}

/// Breaks a file: in its headers if the damage says so, elsewhere where something is said.
fn broken(file: &File, damages: &[(bool, prop::sample::Index, Damage)]) -> Vec<u8> {
    let mut bytes = file.bytes.to_vec();
    for (in_headers, index, how) in damages {
        let places = telling(file);
        let at = if *in_headers {
            index.index(0x400)
        } else {
            places[index.index(places.len())]
        };
        if at >= bytes.len() {
            continue;
        }
        match *how {
            Damage::Bit(bit) => bytes[at] ^= 1 << bit,
            Damage::Byte(byte) => bytes[at] = byte,
            Damage::Word(word) => {
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
            Damage::Cut => bytes.truncate(at),
        }
    }
    bytes
}

/// Parses, boots and runs; gives the session if it comes that far.
fn use_files(which: usize, image: Vec<u8>, pdb: Option<&[u8]>) -> Option<Session> {
    let name = FILES[which].0.name;
    let file = match ImageFile::parse(name, image, pdb) {
        Ok(file) => file,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(name), "{text}");
            return None;
        }
    };
    let mut images = GuestImages::built_in().clone();
    match which {
        0 => images.kernel = file,
        1 => images.driver = file,
        2 => images.program = file,
        library => images.libraries[library - 3] = file,
    }
    let lab = match Lab::builder().images(images).build() {
        Ok(lab) => lab,
        Err(error) => {
            assert!(!matches!(error, LabError::Layout { .. }), "{error}");
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let mut session = Session::new(lab);
    session.set_budget(50_000);
    let _ = session.execute("ed nt!PoolHitTag 3261654c");
    for _ in 0..2 {
        let _ = session.execute("g");
        look(&mut session);
    }
    Some(session)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn broken_images_are_refused_or_run_to_a_stop(
        which in prop::sample::select(vec![0usize, 0, 0, 1, 1, 2, 3, 4, 5]),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let (image, pdb) = &FILES[which];
        use_files(which, broken(image, &damages), pdb.as_ref().map(|pdb| pdb.bytes));
    }

    #[test]
    fn broken_pdbs_are_refused_or_used(
        which in prop::sample::select(vec![0usize, 0, 3, 4, 5]),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let (image, pdb) = &FILES[which];
        let pdb = broken(pdb.as_ref().unwrap(), &damages);
        use_files(which, image.bytes.to_vec(), Some(&pdb));
    }
}

/// Each file cut at places all over it, its headers more closely.
#[test]
fn cut_files_are_refused_or_run_to_a_stop() {
    for (which, (image, pdb)) in FILES.iter().enumerate() {
        let ends = |length: usize| {
            (0..0x400)
                .step_by(111)
                .chain((0..length).step_by(length / 5))
        };
        for end in ends(image.bytes.len()) {
            use_files(
                which,
                image.bytes[..end].to_vec(),
                pdb.as_ref().map(|pdb| pdb.bytes),
            );
        }
        for end in pdb.iter().flat_map(|pdb| ends(pdb.bytes.len())) {
            let pdb = &pdb.as_ref().unwrap().bytes[..end];
            use_files(which, image.bytes.to_vec(), Some(pdb));
        }
    }
}

#[test]
fn whole_files_run() {
    let (image, pdb) = &FILES[0];
    let pdb = pdb.as_ref().map(|pdb| pdb.bytes);
    let session = use_files(0, image.bytes.to_vec(), pdb).unwrap();
    assert_eq!(session.registers().rip, 0xfffff800_014798f6);
}

/// A PDB of another image is no use.
#[test]
fn a_pdb_of_another_image_is_refused() {
    let error = ImageFile::parse(
        "ntoskrnl.exe",
        prebuilt::KERNEL.bytes,
        Some(prebuilt::NTDLL_PDB.bytes),
    );
    let text = error.unwrap_err().to_string();
    assert!(text.contains("ntoskrnl.exe"), "{text}");
}
