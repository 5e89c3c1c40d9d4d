//! files

use crate::harness::Role;

pub(crate) const ROLES: &[Role] = &[];
