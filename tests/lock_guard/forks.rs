//! fork, in every order of closing, opening and writing (T18, T19).

use crate::harness::Role;

pub(crate) const ROLES: &[Role] = &[];
