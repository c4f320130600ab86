use super::*;
use crate::address::Va;
use crate::memory::FaultReason;
use crate::tag::Tag;
use proptest::prelude::*;

/// A target with two symbols, three registers, and 16 readable bytes at 1000: 0 to f.
#[derive(Default)]
pub(in crate::debugger) struct Target {
    is_user_mode: bool,
}

impl ReadMemory for Target {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        for (done, byte) in buffer.iter_mut().enumerate() {
            let at = address.wrapping_add(done as u64);
            if !(0x1000..0x1010).contains(&at.0) {
                let reason = FaultReason::NotPresent { level: 1 };
                return Err(MemoryFault {
                    address: at,
                    reason,
                    done,
                });
            }
            *byte = at.0 as u8 & 0xf;
        }
        Ok(())
    }
}

impl ExpressionContext for Target {
    fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
        match name.to_ascii_lowercase().as_str() {
            "nt" => Ok(0xfffff800_01400000),
            "poolhittag" | "nt!poolhittag" => Ok(0xfffff800_016530fc),
            "fade" | "nt!fade" => Ok(1),
            "nt!a::~b" | "nt!?f@@yaxxz" | "nt!`string'" | "nt! ?? ::fnodobfm::`string'" => Ok(2),
            "r8" | "rax" | "_x$y" => Ok(3),
            "twice" => Err(SymbolError::Ambiguous),
            _ => Err(SymbolError::NotFound),
        }
    }

    fn register(&self, name: &str) -> Option<u64> {
        match name.to_ascii_lowercase().as_str() {
            "rax" => Some(0x11),
            "rip" | "$ip" => Some(0x22),
            "r8" => Some(0x33),
            "r9" => Some(0x44),
            "ah" => Some(0x55),
            _ => None,
        }
    }

    fn current_address(&self) -> u64 {
        0x22
    }

    fn memory(&self) -> &dyn ReadMemory {
        self
    }

    fn sign_extends_constants(&self) -> bool {
        !self.is_user_mode
    }
}

#[track_caller]
fn check(text: &str, expected: u64) {
    assert_eq!(evaluate(text, &Target::default()), Ok(expected), "{text:?}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = evaluate(text, &Target::default()).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text:?}");
}

#[test]
fn reads_numbers() {
    // The manual's forms of one number, and of zero.
    for text in ["0x4AB3", "0X4aB3", "4AB3h", "4ab3h", "4aB3H"] {
        check(text, 0x4ab3);
    }
    for text in ["0", "0x0", "0x", "0n", "0t", "0y"] {
        check(text, 0);
    }
    check("0n10", 10);
    check("0t10", 8);
    check("0y10", 2);
    check("10", 0x10);
    check("a", 10);
    check("ah", 10);
    check("1ah", 0x1a);
    check("fffff800`014798f6", 0xfffff800_014798f6);
    check("fffff800014798f6", 0xfffff800_014798f6);
    check("1`1", 0x11);
    check("1`", 1);
    check("ffffffffffffffff", u64::MAX);
    check("00000000000000000000000000000001", 1);
    check_error("10000000000000000", "Overflow error at '10000000000000000'");
    check_error(
        "1+0n18446744073709551616 2",
        "Overflow error at '0n18446744073709551616 2'",
    );
}

/// The first three are of Microsoft's pages named in the module's text, and of a published session
/// where `dd` shows 64636261 for `'dcba'`.
#[test]
fn reads_character_constants() {
    check("' cbA'", u32::from_le_bytes(*b"Abc ").into());
    check("'VUTS'", u32::from_le_bytes(*b"STUV").into());
    check("'dcba'", 0x64636261);
    check("'H'", 0x48);
    check("'H'+1", 0x49);
    check("'87654321'", u64::from_le_bytes(*b"12345678"));
    check_error("'abcdefghi'", "Overflow error at ''abcdefghi''");
    check_error("''", "Syntax error at ''''");
    check_error("'abc", "Syntax error at ''abc'");
    check_error("'\u{e9}'", "Syntax error at ''\u{e9}''");
}

/// The manual's examples under "Sign Extension".
#[test]
fn extends_the_sign_of_constants_in_kernel_mode() {
    check("12345678", 0x12345678);
    check("EEAA1122", 0xffffffff_eeaa1122);
    check("00000000EEAA1122", 0xffffffff_eeaa1122);
    check("00000000`EEAA1122", 0xeeaa1122);
    check("0`EEAA1122", 0xeeaa1122);
    check("( 0x0`FFFFFFFF & -1 )", 0xffffffff);
    let user = Target { is_user_mode: true };
    assert_eq!(evaluate("EEAA1122", &user), Ok(0xeeaa1122));
}

#[test]
fn reads_symbols_and_registers() {
    check("nt!PoolHitTag", 0xfffff800_016530fc);
    check("POOLHITTAG+4", 0xfffff800_01653100);
    check("nt", 0xfffff800_01400000);
    check("fffff800`016530fc-nt", 0x2530fc);
    check("nt!A::~B", 2);
    check("nt!?f@@YAXXZ", 2);
    check("nt!`string'+1", 3);
    check("@!\"nt! ?? ::FNODOBFM::`string'\"+1", 3);
    check("_x$y", 3);
    // A word of hexadecimal digits is a number, unless it is said to be a symbol.
    check("fade", 0xfade);
    check("!fade", 1);
    check("nt!fade", 1);
    check("fade!=fade", 0);
    // Common registers come before symbols, others behind numbers and symbols.
    check("rax", 0x11);
    check("RIP", 0x22);
    check("r8", 3);
    check("@r8", 0x33);
    check("r9", 0x44);
    check("ah", 0xa);
    check("@ah", 0x55);
    check("@$ip", 0x22);
    check("$ip", 0x22);
    check(".", 0x22);
    check(".+5", 0x27);
    check("@rax+1", 0x12);
}

#[test]
fn computes() {
    check("1 + 2 * 3", 7);
    check("(1+1) * 2", 4);
    check("1 + 2 * 3 / 4", 2);
    check("37d9bd3e*2000", 0x6fb_37a7c000);
    check("37d9bd3e-37d9bd30+1", 0xf);
    check("f*2000", 0x1e000);
    check("fffff8a0`00004c5c & ffffffff`fffffff0", 0xfffff8a0_00004c50);
    check(
        "0xffff<<0n48 | 0x1f1<<0n39 | 0x1f1<<0n30 | 0x1f1<<0n21 | 0x1f1<<0n12 | 000",
        0xfffff8fc_7e3f1000,
    );
    check("-((c & 8) != 0)", u64::MAX);
    check("-1", u64::MAX);
    check("--1", 1);
    check("+-1", u64::MAX);
    check("~0", u64::MAX);
    check("not 0", 1);
    check("not 5 + 1", 1);
    check("0n17 mod 5", 2);
    check("0n17 % 5", 2);
    check("1 or 2", 3);
    check("2 AND 6", 2);
    check("6 xor 3", 5);
    check("6 ^ 3 | 8", 0xd);
    check("1 | 2 & 0", 1);
    check("1 < 2 == 1", 1);
    check("2 >= 3", 0);
    check("3 <= 3", 1);
    check("3 = 3", 1);
    check("-1 > 1", 1);
    check("-8 >> 1", 0x7fffffff_fffffffc);
    check("-8 >>> 1", -4i64 as u64);
    check("1 << 40", 0);
    check("1 << 3f", 1 << 63);
    check("-1 >>> ffffffff`ffffffff", u64::MAX);
    check("ffffffff`ffffffff * 2 + 3", 1);
    check("hi 12345678", 0x1234);
    check("low(12345678)", 0x5678);
    check("1-1-1", u64::MAX);
    check("8/2/2", 2);
}

#[test]
fn reads_memory() {
    check("by(1001)", 1);
    check("wo 1001", 0x0201);
    check("dwo(1004)", 0x07060504);
    check("poi(1000)", 0x07060504_03020100);
    check("poi(1000+8)", 0x0f0e0d0c_0b0a0908);
    check("qwo 1008 + 1", 0x0f0e0d0c_0b0a0909);
}

#[test]
fn says_what_windbg_says() {
    check_error("foo", "Couldn't resolve error at 'foo'");
    check_error("nt!foo", "Couldn't resolve error at 'nt!foo'");
    check_error("1 + foo + 2", "Couldn't resolve error at 'foo + 2'");
    check_error("!1", "Couldn't resolve error at '!1'");
    check_error("!", "Numeric expression missing from '!'");
    check_error("twice", "Ambiguous symbol error at 'twice'");
    check_error("@foo", "Bad register error at '@foo'");
    check_error("@$ea - 10*4 ", "Bad register error at '@$ea - 10*4 '");
    check_error(
        "(@rip == 0 && @rax == 40)",
        "Numeric expression missing from '& @rax == 40)'",
    );
    check_error("1+", "Numeric expression missing from '<EOL>'");
    check_error("1*", "Numeric expression missing from '<EOL>'");
    check_error("*1", "Numeric expression missing from '*1'");
    check_error("", "Numeric expression missing from '<EOL>'");
    check_error("and 1", "Numeric expression missing from 'and 1'");
    check_error("(1+1", "Syntax error at '<EOL>'");
    check_error("`1", "Syntax error at '`1'");
    check_error("@!\"nt", "Syntax error at '@!\"nt'");
    check_error("@@c++(1)", "Syntax error at '@@c++(1)'");
    check_error("poi 1", "Memory access error at '1'");
    check_error("(dwo(1) == 100) k", "Memory access error at ') == 100) k'");
    check_error("1+1)", "^ Extra character error in '1+1)'");
    check_error("1 / (1-1) + 2", "Operand error at ') + 2'");
    check_error("1 mod 0", "Operand error at '0'");
}

#[test]
fn says_which_byte_could_not_be_read() {
    let error = evaluate("dwo(100e)", &Target::default()).unwrap_err();
    let ArgumentError::Expression(error) = error else {
        panic!("{error:?}")
    };
    let ExpressionErrorKind::MemoryAccess(fault) = error.kind else {
        panic!("{error:?}")
    };
    assert_eq!(
        (fault.address, fault.done, error.offset),
        (Va(0x1010), 2, 8)
    );
}

#[test]
fn arguments_come_one_by_one() {
    let target = Target::default();
    let mut cursor = Cursor::new("ed nt!PoolHitTag 3261654c ffffff0f (-1) \"x\"");
    assert_eq!(cursor.next_word(), Some("ed"));
    for expected in [
        0xfffff800_016530fc,
        0x3261654c,
        0xffffffff_ffffff0f,
        u64::MAX,
    ] {
        assert_eq!(cursor.next_expression(&target), Ok(expected));
    }
    assert_eq!(cursor.rest(), " \"x\"");
    let mut cursor = Cursor::new("12xyz");
    assert_eq!(cursor.next_expression(&target), Ok(0x12));
    assert_eq!(cursor.rest(), "xyz");
}

/// Nothing overflows the stack, not even with every precedence at every level.
#[test]
fn refuses_deep_nesting() {
    for open in ["(", "-", "not ", "poi(", "1|2^3&4=5<<6+7*(", "(-"] {
        let text = open.repeat(100_000);
        let error = evaluate(&text, &Target::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Nesting deeper than 128 levels"),
            "{open}"
        );
    }
    let text = format!("{}1{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    check(&text, 1);
}

/// An expression as a tree, to be printed and to be computed without the parser.
#[derive(Clone, Debug)]
enum Tree {
    Number(u64, u8),
    Unary(&'static str, Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
}

impl Tree {
    /// In 128 bits, reduced where the language has a result, so that nothing is shared with the
    /// evaluator but the manual.
    fn value(&self) -> Option<u64> {
        let cut = |wide: i128| Some((wide & 0xffff_ffff_ffff_ffff) as u64);
        match self {
            Tree::Number(number, _) => Some(*number),
            Tree::Unary(operator, operand) => {
                let wide = i128::from(operand.value()?);
                match *operator {
                    "-" => cut(-wide),
                    "+" => cut(wide),
                    "~" => cut(-wide - 1),
                    "not " => cut(i128::from(wide == 0)),
                    "hi " => cut(wide / 0x1_0000 % 0x1_0000),
                    _ => cut(wide % 0x1_0000),
                }
            }
            Tree::Binary(operator, left, right) => {
                let (left, right) = (i128::from(left.value()?), i128::from(right.value()?));
                let power = |exponent: i128| (exponent < 64).then(|| 1i128 << exponent);
                match *operator {
                    "*" => Some((left as u64).wrapping_mul(right as u64)),
                    "/" => cut(left.checked_div(right)?),
                    "%" | " mod " => cut(left.checked_rem(right)?),
                    "+" => cut(left + right),
                    "-" => cut(left - right),
                    "<<" => {
                        let wide = |power: i128| left as u128 * power as u128 % (1 << 64);
                        cut(power(right).map_or(0, wide) as i128)
                    }
                    ">>" => cut(power(right).map_or(0, |power| left / power)),
                    ">>>" => {
                        let signed = i128::from(left as u64 as i64);
                        cut(
                            power(right).map_or(if signed < 0 { -1 } else { 0 }, |power| {
                                signed.div_euclid(power)
                            }),
                        )
                    }
                    "=" | "==" => cut(i128::from(left == right)),
                    "!=" => cut(i128::from(left != right)),
                    "<" => cut(i128::from(left < right)),
                    ">" => cut(i128::from(left > right)),
                    "<=" => cut(i128::from(left <= right)),
                    ">=" => cut(i128::from(left >= right)),
                    "&" | " and " => cut(left & right),
                    "^" | " xor " => cut(left ^ right),
                    _ => cut(left | right),
                }
            }
        }
    }

    fn rank(&self) -> usize {
        const ROWS: [&[&str]; 7] = [
            &["|", " or "],
            &["^", " xor "],
            &["&", " and "],
            &["=", "==", "!=", "<", ">", "<=", ">="],
            &["<<", ">>", ">>>"],
            &["+", "-"],
            &["*", "/", "%", " mod "],
        ];
        match self {
            Tree::Number(..) => 9,
            Tree::Unary(..) => 8,
            Tree::Binary(operator, ..) => {
                ROWS.iter().position(|row| row.contains(operator)).unwrap()
            }
        }
    }

    /// With parentheses where the precedence needs them, and where `spare` wants more.
    fn text(&self, spare: &mut dyn FnMut() -> bool) -> String {
        let mut wrap = |tree: &Tree, least: usize| {
            let text = tree.text(spare);
            if tree.rank() < least || spare() {
                format!("({text})")
            } else {
                text
            }
        };
        match self {
            Tree::Number(number, form) => match form % 6 {
                0 => format!("{:x}`{:08x}", number >> 32, *number as u32),
                1 => format!("0n{number}`"),
                2 => format!("0t{number:o}`"),
                3 => format!("0y`{number:b}"),
                4 => format!("0X{number:X}`"),
                _ => format!("0`{number:016x}h"),
            },
            Tree::Unary(operator, operand) => format!("{operator}{}", wrap(operand, 8)),
            Tree::Binary(operator, left, right) => {
                let rank = self.rank();
                format!("{}{operator}{}", wrap(left, rank), wrap(right, rank + 1))
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let number = prop_oneof![any::<u64>(), 0u64..80, Just(u64::MAX), Just(1 << 63)];
    let leaf = (number, any::<u8>()).prop_map(|(number, form)| Tree::Number(number, form));
    leaf.prop_recursive(6, 64, 2, |inner| {
        let unary = prop::sample::select(vec!["-", "+", "~", "not ", "hi ", "low "]);
        let binary = prop::sample::select(vec![
            "*", "/", "%", " mod ", "+", "-", "<<", ">>", ">>>", "=", "==", "!=", "<", ">", "<=",
            ">=", "&", " and ", "^", " xor ", "|", " or ",
        ]);
        prop_oneof![
            (unary, inner.clone()).prop_map(|(op, tree)| Tree::Unary(op, Box::new(tree))),
            (binary, inner.clone(), inner).prop_map(|(op, left, right)| Tree::Binary(
                op,
                Box::new(left),
                Box::new(right)
            )),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_another_evaluator(tree in trees(), parentheses: u64) {
        let mut left = parentheses;
        let text = tree.text(&mut || {
            left = left.rotate_right(1);
            left & parentheses & 1 == 1
        });
        match (evaluate(&text, &Target::default()), tree.value()) {
            (Ok(found), Some(expected)) => prop_assert_eq!(found, expected, "{}", text),
            (Err(error), None) => prop_assert!(error.to_string().starts_with("Operand error")),
            (found, expected) => prop_assert!(false, "{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn printed_addresses_read_back(value: u64) {
        prop_assert_eq!(evaluate(&Va(value).to_string(), &Target::default()), Ok(value));
    }

    #[test]
    fn printed_numbers_read_back(value: u64) {
        for text in [
            format!("{value:x}"),
            format!("{value:x}h"),
            format!("0x{value:X}"),
            format!("0n{value}"),
            format!("0t{value:o}"),
            format!("0y{value:b}"),
        ] {
            prop_assert_eq!(evaluate(&text, &Target::default()), Ok(value), "{}", text);
        }
    }

    /// `ed` takes a tag in either of its forms.
    #[test]
    fn printed_tags_read_back(bytes in prop::array::uniform4(prop_oneof![0x20u8..0x7f, any::<u8>()])) {
        let tag = Tag::from_bytes(bytes);
        for text in [tag.hex(), tag.constant()] {
            let value = evaluate(&text, &Target::default());
            prop_assert_eq!(value.map(|value| value as u32), Ok(tag.0), "{}", text);
        }
    }

    #[test]
    fn any_text_has_a_value_or_an_error(
        text in r#"(.|[0-9a-fhx`!:@.()+*/<>=& -]|poi|not|nt!|rax){0,40}"#,
    ) {
        let mut cursor = Cursor::new(&text);
        match cursor.next_expression(&Target::default()) {
            Ok(_) => prop_assert!(text.ends_with(cursor.rest()) && cursor.position() > 0),
            Err(error) => {
                prop_assert_eq!(&text[error.offset..], error.rest.as_str());
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
