//! The contract of the family.
