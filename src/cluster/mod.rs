//! Whom an action is for: this machine, that node, every node.
//!
//! Takes `node_id` and `cascade_to_nodes` out of an input and sends the action where it belongs, over OpenSSH and in the
//! plugin's own protocol; how it is done there is that plugin's. One node's failure hides no other's outcome. This machine's
//! own id never leaves this machine.

pub mod channel;
pub mod fanout;
pub mod fault;
pub mod members;
pub mod message;
pub mod node;
pub mod query;
pub mod route;
pub mod ssh;
