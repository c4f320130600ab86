//! The grammar of MASM expressions: precedence climbing that computes as it reads.

use super::function::Function;
use super::{ExpressionContext, ExpressionError, ExpressionErrorKind, MAX_DEPTH, SymbolError};
use crate::address::{Pa, Va};
use crate::debugger::cursor::Cursor;
use crate::memory::MemoryFault;

/// Registers that are found before a symbol of the same name even without `@`: those that the
/// manual names for x86, their 64-bit forms, and the stack pointer.
const COMMON_REGISTERS: [&str; 18] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rip", "eax", "ebx", "ecx", "edx", "esi",
    "edi", "ebp", "eip", "efl", "rsp",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unary {
    Plus,
    Minus,
    Complement,
    Not,
    High,
    Low,
    Byte,
    Word,
    DoubleWord,
    QuadWord,
    Pointer,
    /// That many bytes of physical memory.
    Physical(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Binary {
    Multiply,
    Divide,
    Modulo,
    Add,
    Subtract,
    ShiftLeft,
    ShiftRight,
    ArithmeticShiftRight,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    And,
    Xor,
    Or,
}

/// The operators of signs; a longer one comes before its own beginning.
const SIGNS: [(&str, Binary); 18] = [
    (">>>", Binary::ArithmeticShiftRight),
    (">>", Binary::ShiftRight),
    ("<<", Binary::ShiftLeft),
    ("<=", Binary::LessOrEqual),
    (">=", Binary::GreaterOrEqual),
    ("==", Binary::Equal),
    ("!=", Binary::NotEqual),
    ("=", Binary::Equal),
    ("<", Binary::Less),
    (">", Binary::Greater),
    ("*", Binary::Multiply),
    ("/", Binary::Divide),
    ("%", Binary::Modulo),
    ("+", Binary::Add),
    ("-", Binary::Subtract),
    ("&", Binary::And),
    ("^", Binary::Xor),
    ("|", Binary::Or),
];

const BINARY_WORDS: [(&str, Binary); 4] = [
    ("mod", Binary::Modulo),
    ("and", Binary::And),
    ("xor", Binary::Xor),
    ("or", Binary::Or),
];

const UNARY_WORDS: [(&str, Unary); 13] = [
    ("not", Unary::Not),
    ("hi", Unary::High),
    ("low", Unary::Low),
    ("by", Unary::Byte),
    ("wo", Unary::Word),
    ("dwo", Unary::DoubleWord),
    ("qwo", Unary::QuadWord),
    ("poi", Unary::Pointer),
    ("$pby", Unary::Physical(1)),
    ("$pwo", Unary::Physical(2)),
    ("$pdwo", Unary::Physical(4)),
    ("$pqwo", Unary::Physical(8)),
    ("$ppoi", Unary::Physical(8)),
];

impl Binary {
    /// How tight the operator binds: the manual's table, from its last row to its first.
    fn precedence(self) -> u8 {
        match self {
            Binary::Or => 0,
            Binary::Xor => 1,
            Binary::And => 2,
            Binary::Equal
            | Binary::NotEqual
            | Binary::Less
            | Binary::Greater
            | Binary::LessOrEqual
            | Binary::GreaterOrEqual => 3,
            Binary::ShiftLeft | Binary::ShiftRight | Binary::ArithmeticShiftRight => 4,
            Binary::Add | Binary::Subtract => 5,
            Binary::Multiply | Binary::Divide | Binary::Modulo => 6,
        }
    }

    /// The result, or `None` for a division by zero. A shift by 64 or more moves every bit out.
    fn apply(self, left: u64, right: u64) -> Option<u64> {
        let shift = u32::try_from(right).unwrap_or(u32::MAX);
        Some(match self {
            Binary::Multiply => left.wrapping_mul(right),
            Binary::Divide => left.checked_div(right)?,
            Binary::Modulo => left.checked_rem(right)?,
            Binary::Add => left.wrapping_add(right),
            Binary::Subtract => left.wrapping_sub(right),
            Binary::ShiftLeft => left.checked_shl(shift).unwrap_or(0),
            Binary::ShiftRight => left.checked_shr(shift).unwrap_or(0),
            Binary::ArithmeticShiftRight => ((left as i64) >> shift.min(63)) as u64,
            Binary::Equal => u64::from(left == right),
            Binary::NotEqual => u64::from(left != right),
            Binary::Less => u64::from(left < right),
            Binary::Greater => u64::from(left > right),
            Binary::LessOrEqual => u64::from(left <= right),
            Binary::GreaterOrEqual => u64::from(left >= right),
            Binary::And => left & right,
            Binary::Xor => left ^ right,
            Binary::Or => left | right,
        })
    }
}

pub(super) struct Parser<'p, 'a> {
    pub(super) cursor: &'p mut Cursor<'a>,
    pub(super) context: &'p dyn ExpressionContext,
    depth: usize,
    /// Where the word starts that was read last; most errors point there.
    pub(super) last: usize,
    /// The whole command, to quote from.
    text: Cursor<'a>,
}

impl<'p, 'a> Parser<'p, 'a> {
    pub(super) fn new(cursor: &'p mut Cursor<'a>, context: &'p dyn ExpressionContext) -> Self {
        let text = cursor.clone();
        let last = cursor.position();
        Parser {
            cursor,
            context,
            depth: 0,
            last,
            text,
        }
    }

    pub(super) fn expression(&mut self) -> Result<u64, ExpressionError> {
        self.binary(0)
    }

    fn binary(&mut self, least: u8) -> Result<u64, ExpressionError> {
        let mut left = self.unary()?;
        while let Some((space, length, operator)) = binary_operator(self.cursor.rest()) {
            if operator.precedence() < least {
                break;
            }
            self.cursor.advance(space);
            self.last = self.cursor.position();
            self.cursor.advance(length);
            let right = self.binary(operator.precedence() + 1)?;
            left = operator
                .apply(left, right)
                .ok_or_else(|| self.error(ExpressionErrorKind::Operand))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<u64, ExpressionError> {
        self.cursor.skip_space();
        self.last = self.cursor.position();
        let rest = self.cursor.rest();
        match rest.chars().next() {
            Some('+') => self.apply(Unary::Plus, 1),
            Some('-') => self.apply(Unary::Minus, 1),
            Some('~') => self.apply(Unary::Complement, 1),
            Some('(') => {
                self.cursor.advance(1);
                self.parenthesis()
            }
            Some('.') => {
                self.cursor.advance(1);
                Ok(self.context.current_address())
            }
            Some('@') if rest.starts_with("@!\"") => self.quoted_symbol(),
            Some('@')
                if rest
                    .get(..7)
                    .is_some_and(|at| at.eq_ignore_ascii_case("@@masm(")) =>
            {
                self.cursor.advance(7);
                self.parenthesis()
            }
            Some('@') if rest.starts_with("@@") => Err(self.error(ExpressionErrorKind::Syntax)),
            Some('@') => self.register(),
            Some('\'') => self.characters(),
            Some('`') => self.source_line(),
            Some(first) if starts_word(first) || first.is_ascii_digit() => self.word(),
            Some('!') if symbol_length(rest) > 1 => self.word(),
            _ => Err(self.error(ExpressionErrorKind::NumericExpressionMissing)),
        }
    }

    pub(super) fn parenthesis(&mut self) -> Result<u64, ExpressionError> {
        let value = self.nested(|parser| parser.binary(0))?;
        self.cursor.skip_space();
        self.last = self.cursor.position();
        if self.cursor.eat(")") {
            Ok(value)
        } else {
            Err(self.error(ExpressionErrorKind::Syntax))
        }
    }

    fn apply(&mut self, operator: Unary, length: usize) -> Result<u64, ExpressionError> {
        self.cursor.advance(length);
        let value = self.nested(Self::unary)?;
        let memory = self.context.memory();
        let address = Va(value);
        let read: Result<u64, MemoryFault> = match operator {
            Unary::Plus => Ok(value),
            Unary::Minus => Ok(value.wrapping_neg()),
            Unary::Complement => Ok(!value),
            Unary::Not => Ok(u64::from(value == 0)),
            Unary::High => Ok(value >> 16 & 0xffff),
            Unary::Low => Ok(value & 0xffff),
            Unary::Byte => memory.read_u8(address).map(u64::from),
            Unary::Word => memory.read_u16(address).map(u64::from),
            Unary::DoubleWord => memory.read_u32(address).map(u64::from),
            Unary::QuadWord | Unary::Pointer => memory.read_u64(address),
            Unary::Physical(size) => {
                let mut bytes = [0; 8];
                let read = self.context.read_physical(Pa(value), &mut bytes[..size]);
                read.map(|()| u64::from_le_bytes(bytes))
            }
        };
        read.map_err(|fault| self.error(ExpressionErrorKind::MemoryAccess(fault)))
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<u64, ExpressionError>,
    ) -> Result<u64, ExpressionError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(ExpressionErrorKind::TooDeep));
        }
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn register(&mut self) -> Result<u64, ExpressionError> {
        let name = &self.cursor.rest()[1..];
        let name = &name[..name.find(|c| !continues_register(c)).unwrap_or(name.len())];
        let value = self
            .context
            .register(name)
            .ok_or_else(|| self.error(ExpressionErrorKind::BadRegister))?;
        self.cursor.advance(1 + name.len());
        Ok(value)
    }

    fn quoted_symbol(&mut self) -> Result<u64, ExpressionError> {
        let inside = &self.cursor.rest()[3..];
        let name = inside
            .split_once('"')
            .map(|(name, _)| name)
            .ok_or_else(|| self.error(ExpressionErrorKind::Syntax))?;
        let value = self
            .context
            .symbol(name)
            .map_err(|error| self.symbol_error(error))?;
        self.cursor.advance(name.len() + 4);
        Ok(value)
    }

    /// `` `file.c:30` ``.
    fn source_line(&mut self) -> Result<u64, ExpressionError> {
        let inside = self.cursor.rest()[1..].split_once('`');
        let (text, _) = inside.ok_or_else(|| self.error(ExpressionErrorKind::Syntax))?;
        let value = self.context.source_line(text);
        let value = value.map_err(|error| self.symbol_error(error))?;
        self.cursor.advance(text.len() + 2);
        Ok(value)
    }

    /// `'2aeL'`: up to eight characters as one number, the first one highest.
    fn characters(&mut self) -> Result<u64, ExpressionError> {
        let inside = &self.cursor.rest()[1..];
        let end = inside.find('\'').filter(|end| *end > 0);
        let end = end.ok_or_else(|| self.error(ExpressionErrorKind::Syntax))?;
        let characters = &inside.as_bytes()[..end];
        if !characters.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(self.error(ExpressionErrorKind::Syntax));
        }
        if characters.len() > 8 {
            return Err(self.error(ExpressionErrorKind::Overflow));
        }
        self.cursor.advance(end + 2);
        let value = characters.iter();
        Ok(value.fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A number, an operator's name, a symbol or a register, tried in this order.
    fn word(&mut self) -> Result<u64, ExpressionError> {
        let rest = self.cursor.rest();
        if let Some(number) = super::number::parse(rest, self.context.radix()) {
            let value = number
                .value
                .ok_or_else(|| self.error(ExpressionErrorKind::Overflow))?;
            self.cursor.advance(number.length);
            let extends = !number.has_tick && self.context.sign_extends_constants();
            return Ok(match u32::try_from(value) {
                Ok(low) if extends => i64::from(low as i32) as u64,
                _ => value,
            });
        }
        let word = &rest[..symbol_length(rest)];
        if let Some(operator) = find_word(&UNARY_WORDS, word) {
            return self.apply(operator, word.len());
        }
        if let Some(function) = Function::named(word)
            && rest[word.len()..].trim_start().starts_with('(')
        {
            self.cursor.advance(word.len());
            return self.nested(|parser| parser.call(function));
        }
        if find_word(&BINARY_WORDS, word).is_some() {
            return Err(self.error(ExpressionErrorKind::NumericExpressionMissing));
        }
        let value = self.name(word)?;
        self.cursor.advance(word.len());
        Ok(value)
    }

    fn name(&self, word: &str) -> Result<u64, ExpressionError> {
        let is_common = COMMON_REGISTERS
            .iter()
            .any(|name| name.eq_ignore_ascii_case(word));
        if is_common && let Some(value) = self.context.register(word) {
            return Ok(value);
        }
        let symbol = self.context.symbol(word.strip_prefix('!').unwrap_or(word));
        symbol.or_else(|error| match self.context.register(word) {
            Some(value) if error == SymbolError::NotFound => Ok(value),
            _ => Err(self.symbol_error(error)),
        })
    }

    fn symbol_error(&self, error: SymbolError) -> ExpressionError {
        self.error(match error {
            SymbolError::NotFound => ExpressionErrorKind::Unresolved,
            SymbolError::Ambiguous => ExpressionErrorKind::AmbiguousSymbol,
        })
    }

    pub(super) fn error(&self, kind: ExpressionErrorKind) -> ExpressionError {
        let rest = &self.text.rest()[self.last - self.text.position()..];
        ExpressionError {
            kind,
            rest: rest.to_string(),
            offset: self.last,
        }
    }
}

/// The operator behind the white space that `text` starts with: the lengths of both.
fn binary_operator(text: &str) -> Option<(usize, usize, Binary)> {
    let rest = text.trim_start();
    let space = text.len() - rest.len();
    if let Some(&(sign, operator)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Some((space, sign.len(), operator));
    }
    let word = &rest[..symbol_length(rest)];
    find_word(&BINARY_WORDS, word).map(|operator| (space, word.len(), operator))
}

fn find_word<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    let found = words
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|&(_, value)| value)
}

fn starts_word(character: char) -> bool {
    character.is_alphabetic() || matches!(character, '_' | '?' | '$')
}

fn continues_register(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$')
}

/// How much of `text` is one symbol's name, with its module's: letters, digits, `_ $ ? @`, pairs
/// of colons, one `!`; behind the `!` also quotes and back-ticks, and `~` before a class's name.
pub(super) fn symbol_length(text: &str) -> usize {
    let mut in_module = false;
    let mut previous = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|&(_, next)| next);
        let belongs = match character {
            '_' | '$' | '?' | '@' => true,
            ':' => next == Some(':') || previous == Some(':'),
            '!' => !in_module && next != Some('='),
            '`' | '\'' => in_module,
            '~' => matches!(previous, Some(':' | '!')),
            _ => character.is_alphanumeric(),
        };
        if !belongs {
            return at;
        }
        in_module |= character == '!';
        previous = Some(character);
    }
    text.len()
}
