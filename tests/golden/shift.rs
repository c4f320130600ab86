//! The golden session with its images elsewhere.

use poolhit::address::Va;
use poolhit::guest::{Bases, GuestImages};

/// The images by file name, each with a base, in one order for all [`Bases`].
pub fn bases_by_name(bases: &Bases) -> Vec<(&'static str, Va, u64)> {
    let images = GuestImages::built_in();
    let files = [&images.kernel, &images.driver, &images.program];
    let files = files.into_iter().chain(&images.libraries);
    let at = [bases.kernel, bases.driver, bases.program];
    let at = at.into_iter().chain(bases.libraries.iter().copied());
    files
        .zip(at)
        .map(|(file, base)| (file.name(), base, file.image.size_of_image().into()))
        .collect()
}

/// An image's move.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: u64,
    size: u64,
    to: u64,
}

/// Where each image was and is.
#[derive(Clone, Debug)]
pub struct Shift(Vec<Move>);

impl Shift {
    pub fn between(from: &Bases, to: &Bases) -> Shift {
        let pairs = bases_by_name(from).into_iter().zip(bases_by_name(to));
        Shift(
            pairs
                .map(|((_, from, size), (_, to, _))| Move {
                    from: from.0,
                    size,
                    to: to.0,
                })
                .collect(),
        )
    }

    /// An address in an image moves with it; all others stay.
    fn address(&self, address: u64) -> u64 {
        self.0
            .iter()
            .find(|image| address.wrapping_sub(image.from) < image.size)
            .map_or(address, |image| address - image.from + image.to)
    }

    /// Moves every address in a text: two groups of eight digits with a back-tick between.
    pub fn text(&self, text: &str) -> String {
        let mut shifted = String::new();
        let mut rest = text;
        while let Some(tick) = rest.find('`') {
            let Some((start, address)) = address_around(rest, tick) else {
                shifted.push_str(&rest[..=tick]);
                rest = &rest[tick + 1..];
                continue;
            };
            shifted.push_str(&rest[..start]);
            shifted.push_str(&Va(self.address(address)).to_string());
            rest = &rest[tick + 9..];
        }
        shifted + rest
    }
}

/// The address whose back-tick is at `tick`, and where it starts.
fn address_around(text: &str, tick: usize) -> Option<(usize, u64)> {
    let start = tick.checked_sub(8)?;
    let (high, low) = (text.get(start..tick)?, text.get(tick + 1..tick + 9)?);
    let half = |digits: &str| {
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all.then(|| u64::from_str_radix(digits, 16).ok())?
    };
    Some((start, half(high)? << 32 | half(low)?))
}

#[cfg(test)]
mod tests {
    use super::{Move, Shift};

    #[test]
    fn only_addresses_in_images_move() {
        let shift = Shift(vec![Move {
            from: 0xfffff800_01450000,
            size: 0x3af000,
            to: 0xfffff800_02450000,
        }]);
        for (text, expected) in [
            ("u fffff800`014798f6 l1", "u fffff800`024798f6 l1"),
            (
                "fffff800`014798f7 e9ee8e0800      jmp     nt!X+0x13a (fffff800`015027ea)",
                "fffff800`024798f7 e9ee8e0800      jmp     nt!X+0x13a (fffff800`025027ea)",
            ),
            ("fffff880`04ec1680 x", "fffff880`04ec1680 x"),
            ("fffff800`017feffff", "fffff800`027feffff"),
            ("fffff800`017ff000", "fffff800`017ff000"),
            ("fffff800`0144ffff", "fffff800`0144ffff"),
            (
                "nt! ?? ::FNODOBFM::`string'+0x24a2a:",
                "nt! ?? ::FNODOBFM::`string'+0x24a2a:",
            ),
            ("", ""),
        ] {
            assert_eq!(shift.text(text), expected);
        }
    }
}
