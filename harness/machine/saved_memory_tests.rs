use super::*;
use crate::address::Pa;
use proptest::collection::vec;
use proptest::prelude::*;

const PAGES: u64 = 100;
const SIZE: u64 = PAGES * 0x1000;

#[derive(Clone, Debug)]
enum Step {
    /// Writes a byte, some steps apart.
    Write {
        page: u64,
        offset: u64,
        byte: u8,
    },
    /// Writes a byte to each of a run of pages.
    Fill {
        first: u64,
        count: u64,
        byte: u8,
    },
    Save,
    /// One of the states saved so far.
    Restore(prop::sample::Index),
    /// Goes on with new memory in one of the states.
    Copy(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..PAGES, 0..0x1000u64, any::<u8>())
            .prop_map(|(page, offset, byte)| Step::Write { page, offset, byte }),
        1 => (0..PAGES, 1..PAGES, any::<u8>())
            .prop_map(|(first, count, byte)| Step::Fill { first, count, byte }),
        2 => Just(Step::Save),
        4 => any::<prop::sample::Index>().prop_map(Step::Restore),
        1 => any::<prop::sample::Index>().prop_map(Step::Copy),
    ]
}

fn bytes(ram: &GuestRam) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    assert!(ram.read(Pa(0), &mut bytes));
    bytes
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Own,
    File,
    /// As where the host has no files in memory.
    Plain,
}

/// Memory whose states are saved as where the host has no files.
fn save(ram: &mut GuestRam, start: Start) -> SavedMemory {
    match start {
        Start::Plain => {
            let pages = (0..PAGES).filter_map(|page| ram.copy_unless(page, &ZERO));
            SavedMemory::new(SIZE, None, pages.collect())
        }
        _ => ram.save().unwrap(),
    }
}

proptest! {
    /// Whatever is written, saved and restored in whatever order: memory is what it was, and
    /// changes of pages in the set are told.
    #[test]
    fn memory_is_what_was_saved(
        start in prop_oneof![Just(Start::Own), Just(Start::File), Just(Start::Plain)],
        code in vec(0..PAGES, 0..6),
        patience in prop_oneof![Just(0usize), Just(30), Just(100_000)],
        steps in vec(step(), 1..60),
    ) {
        let mut ram = match start {
            Start::File => GuestRam::to_be_saved(SIZE).unwrap(),
            _ => GuestRam::new(SIZE).unwrap(),
        };
        ram.patience.limit = patience;
        let mut set = PageSet::new(PAGES);
        code.iter().for_each(|&page| set.insert(page));
        let mut model = vec![0; SIZE as usize];
        let mut states: Vec<(SavedMemory, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Write { page, offset, byte } => {
                    let at = page * 0x1000 + offset;
                    prop_assert!(ram.write(Pa(at), &[byte]));
                    model[at as usize] = byte;
                }
                Step::Fill { first, count, byte } => {
                    for page in first..(first + count).min(PAGES) {
                        let at = page * 0x1000 + 0x123;
                        prop_assert!(ram.write(Pa(at), &[byte]));
                        model[at as usize] = byte;
                    }
                }
                Step::Save => states.push((save(&mut ram, start), model.clone())),
                Step::Restore(which) if !states.is_empty() => {
                    let (saved, bytes) = which.get(&states);
                    let differs = |&page: &u64| {
                        let range = page as usize * 0x1000..(page as usize + 1) * 0x1000;
                        model[range.clone()] != bytes[range]
                    };
                    let expected = code.iter().any(differs);
                    prop_assert_eq!(ram.restore(saved, &set).unwrap(), expected);
                    model.clone_from(bytes);
                }
                Step::Copy(which) if !states.is_empty() => {
                    let (saved, bytes) = which.get(&states);
                    ram = GuestRam::of(saved).unwrap();
                    ram.patience.limit = patience;
                    model.clone_from(bytes);
                }
                Step::Restore(_) | Step::Copy(_) => {}
            }
            prop_assert!(bytes(&ram) == model);
        }
        for (saved, bytes) in &states {
            for page in 0..PAGES {
                let range = page as usize * 0x1000..(page as usize + 1) * 0x1000;
                prop_assert!(saved.page(page)[..] == bytes[range]);
            }
        }
    }
}

/// Many pages written: a file of the state's own, and mapping afresh instead of comparing.
#[test]
fn many_pages_are_restored() {
    let size = (MANY as u64 + 100) * 0x1000;
    for mut ram in [
        GuestRam::new(size).unwrap(),
        GuestRam::to_be_saved(size).unwrap(),
    ] {
        let fill = |ram: &GuestRam, pages: u64, byte: u8| {
            assert!((0..pages).all(|page| ram.write(Pa(page * 0x1000 + 8), &[byte])));
        };
        let byte = |ram: &GuestRam, page: u64| {
            let mut byte = [0];
            assert!(ram.read(Pa(page * 0x1000 + 8), &mut byte));
            byte[0]
        };
        fill(&ram, 2000, 1);
        let first = ram.save().unwrap();
        fill(&ram, OWN_FILE as u64 + 5, 2);
        let second = ram.save().unwrap();
        let own_file = second.pages.is_empty();
        assert_eq!(own_file, second.file.is_some(), "if the host has files");
        assert!(second.stored_bytes() >= 2000 * 0x1000);
        fill(&ram, MANY as u64 + 50, 3);
        let mut code = PageSet::new(ram.page_count());
        code.insert(MANY as u64 + 60);
        assert!(!ram.restore(&second, &code).unwrap());
        assert_eq!([0, 1100, 3000].map(|page| byte(&ram, page)), [2, 1, 0]);
        code.insert(7);
        assert!(ram.restore(&first, &code).unwrap());
        assert_eq!([0, 1100, 3000].map(|page| byte(&ram, page)), [1, 1, 0]);
    }
}

/// Comparisons in vain come to an end: then only what was written since is compared.
#[test]
fn pages_written_once_are_not_compared_for_ever() {
    let mut ram = GuestRam::to_be_saved(SIZE).unwrap();
    ram.patience.limit = 1000;
    let saved = ram.save().unwrap();
    if saved.file.is_none() {
        return; // the host has no files in memory
    }
    for page in 0..PAGES {
        assert!(ram.write(Pa(page * 0x1000), &[1]));
    }
    for _ in 0..20 {
        ram.restore(&saved, &PageSet::new(0)).unwrap();
    }
    assert!(ram.write(Pa(0x5000), &[1]));
    assert_eq!(ram.touched_pages().unwrap(), [5]);
    ram.restore(&saved, &PageSet::new(0)).unwrap();
    assert!(bytes(&ram).iter().all(|&byte| byte == 0));
}

#[test]
fn another_size_is_refused() {
    let saved = GuestRam::new(0x1000).unwrap().save().unwrap();
    let mut ram = GuestRam::new(0x2000).unwrap();
    assert!(ram.restore(&saved, &PageSet::new(0)).is_err());
    assert!(ram.write(Pa(0x1fff), &[1]), "it is still there");
}

/// What another thread has written is restored too, though this one has had no page faults.
#[test]
fn memory_moves_between_threads() {
    use std::sync::mpsc::channel;
    let (there, arrived) = channel::<(GuestRam, u64)>();
    let (back, returned) = channel();
    let other = std::thread::spawn(move || {
        for (ram, page) in arrived {
            // Each time where nobody has written before.
            assert!(ram.write(Pa(page * 0x1000), &[1]));
            back.send(ram).unwrap();
        }
    });
    let mut ram = GuestRam::to_be_saved(SIZE).unwrap();
    let saved = ram.save().unwrap();
    let none = PageSet::new(0);
    for page in 0..PAGES {
        ram.restore(&saved, &none).unwrap();
        assert!((0..PAGES).all(|page| ram.read_u64(Pa(page * 0x1000)) == Some(0)));
        if page % 3 != 0 {
            there.send((ram, page)).unwrap();
            ram = returned.recv().unwrap();
        }
        if page % 5 == 0 {
            assert!(ram.write(Pa(page * 0x1000), &[2]));
        }
    }
    drop(there);
    other.join().unwrap();
}
