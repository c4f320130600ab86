//! `dt` of a local variable, whose name goes before that of a type or of a global one if it has the very same letters.
//!
//! What stands above the value is as in sessions that users published: `Local var @ 0x17fd48 Type char*`, for one in a
//! register `Local var @ eax Type …*`, and for one that is nowhere `Local var Type …*` and `Value unavailable.`

use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::locals::VariableLocation;
use crate::report::variables::value_text;
use crate::symbols::types::{Shape, Type};

/// A local variable to list.
pub(super) struct LocalVariable<'s> {
    /// The lines above its value; all there is to show where there is no `listed`.
    pub head: String,
    /// What to list, and where it is: the variable, or what it points to.
    pub listed: Option<(Type<'s>, Va)>,
}

/// The variable of the chosen frame that has this name.
pub(super) fn find<'s>(session: &'s Session, name: &str) -> Option<LocalVariable<'s>> {
    if name.contains('!') {
        return None;
    }
    let variable = session.variable_named(name)?;
    let ty = variable.ty.c_name();
    Some(match variable.location {
        None => LocalVariable {
            head: format!("Local var Type {ty}\nValue unavailable.\n"),
            listed: None,
        },
        Some(VariableLocation::Memory { address, .. }) => LocalVariable {
            head: format!("Local var @ {:#x} Type {ty}\n", address.0),
            listed: Some((variable.ty, address)),
        },
        Some(location @ VariableLocation::Register { value, .. }) => {
            let mut head = format!("Local var @ {} Type {ty}\n", location.register_name());
            let target = match variable.ty.shape() {
                Ok(Shape::Pointer { target, .. }) => Some(target),
                _ => None,
            };
            let structure = |ty: &Type<'_>| matches!(ty.shape(), Ok(Shape::Structure(_)));
            let listed = target.filter(structure).map(|target| (target, Va(value)));
            if listed.is_none() {
                head.push_str(&value_text(session, &variable));
                head.push('\n');
            }
            LocalVariable { head, listed }
        }
    })
}
