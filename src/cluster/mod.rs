//! Whom an action is for: this machine, that node, every node.
//!
//! Answers for: taking `node_id` and `cascade_to_nodes` out of an input and sending the action where it belongs.
//! Does not know: how an action is done. This machine's own id never leaves this machine.

pub mod route;
