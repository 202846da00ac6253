//! The controller's actions: THE TABLE, one row per action, made of the files that stand beside this one.
//!
//! A file holds all there is to an action: its row (name, description, lane, scope, an example), the types of its input and
//! payload, and what it does on this machine. Registration, documents, OpenRPC, the tables for people and the tests of
//! completeness read the rows. A new action is a file, its `mod` and its row in the table below. Input has been admitted by
//! its document before (`schema::admit`), other nodes are `cluster`'s, and the permission is checked by the host. An action
//! that fails says so in its envelope.

mod answer;
pub mod example;
pub mod input;
pub mod is_running;
pub mod list_general_name;
pub mod list_port_numbers;
pub mod list_port_numbers_array;
pub mod list_required_permissions;
pub mod list_service_info;
pub mod list_service_name;
pub mod list_service_page;
pub mod query_history;
pub mod query_nodes;
pub mod query_plan;
pub mod query_status;
pub mod query_update;
pub mod restart;
mod row;
pub mod service;
pub mod start;
pub mod stop;
pub mod update;

pub use row::{Lane, Row, Scope, Since};
pub use service::PERMISSION;

/// Every action there is, in the page's order, ours after it.
pub static TABLE: [Row; 21] = [
    is_running::ROW,
    is_running::ON_NODE,
    list_general_name::ROW,
    list_port_numbers::ROW,
    list_port_numbers_array::ROW,
    list_required_permissions::ROW,
    list_service_info::ROW,
    list_service_name::ROW,
    list_service_page::ROW,
    restart::ROW,
    restart::ON_NODE,
    start::ROW,
    start::ON_NODE,
    stop::ROW,
    stop::ON_NODE,
    update::ROW,
    query_update::ROW,
    query_nodes::ROW,
    query_status::ROW,
    query_history::ROW,
    query_plan::ROW,
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}
