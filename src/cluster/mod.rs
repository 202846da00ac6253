//! Whom an action is for: this machine, that node, every node.
//!
//! Answers for: taking `node_id` and `cascade_to_nodes` out of an input and sending the action where it belongs, over
//! OpenSSH and in the plugin's own protocol; one node's failure hides no other's outcome. Does not know: how an action
//! is done, here or there. This machine's own id never leaves this machine.

pub mod channel;
pub mod fanout;
pub mod fault;
pub mod members;
pub mod message;
pub mod node;
pub mod query;
pub mod route;
pub mod ssh;
