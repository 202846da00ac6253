//! Sets of names on the wire: an enum of which each variant stands in one row with its name and what it means.
//!
//! A name cannot stand beside another variant than its own, and documents list the names of the enum itself. What is
//! done with a name is the business of whoever has the set. Nothing here fails.

/// Makes the enum of the rows, the table of all of them in their order, the names alone, and the name of one.
macro_rules! named {
    ($(#[$about:meta])* pub enum $set:ident { $($variant:ident $name:literal: $meaning:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $set {
            $(#[doc = $meaning] $variant,)*
        }

        impl $set {
            /// All of them in their order, each with its name and what it means.
            pub const ALL: [(Self, &'static str, &'static str); Self::NAMES.len()] =
                [$((Self::$variant, $name, $meaning)),*];
            /// The names, in the same order.
            pub const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}

pub(crate) use named;
