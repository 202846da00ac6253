//! The controller's actions: THE TABLE, one row per action, made of the files that stand beside this one.
//!
//! A file holds all there is to an action: its row (name, description, lane, scope, an example), the types of its input and
//! payload, and what it does on this machine. Registration, documents, OpenRPC, the tables for people and the tests of
//! completeness read the rows. A new action is a file and a line in the list below. Input has been admitted by its document
//! before (`schema::admit`), other nodes are `cluster`'s, and the permission is checked by the host.

mod answer;
pub mod example;
pub mod input;
mod row;
pub mod service;

pub use row::{Lane, Row, Scope, Since};
pub use service::PERMISSION;

/// Every action there is, in the page's order, ours after it: the file, and which of its rows.
macro_rules! actions {
    ($($file:ident: $($row:ident),+;)*) => {
        $(pub mod $file;)*

        /// Every action there is.
        pub static TABLE: [Row; [$($(stringify!($row)),+),*].len()] = [$($($file::$row),+),*];
    };
}

actions! {
    is_running: ROW, ON_NODE;
    list_general_name: ROW;
    list_port_numbers: ROW;
    list_port_numbers_array: ROW;
    list_required_permissions: ROW;
    list_service_info: ROW;
    list_service_name: ROW;
    list_service_page: ROW;
    restart: ROW, ON_NODE;
    start: ROW, ON_NODE;
    stop: ROW, ON_NODE;
    update: ROW;
    query_update: ROW;
    query_nodes: ROW;
    query_status: ROW;
    query_history: ROW;
    query_plan: ROW;
}

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}
