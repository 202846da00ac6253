//! The rows of the table on jsonrpsee's `RpcModule`.
//!
//! Answers for: one registered method per row, plus `rpc.discover`; each admits its parameters and hands them to the
//! router. Does not know: ids, batches, lanes. Refused input is a result with an envelope, not an error object.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::{RegisterMethodError, RpcResult};
use serde_json::{Value, json};

use crate::action::{Lane, TABLE};
use crate::change::Service;
use crate::change::history::Origin;
use crate::cluster::members::Cluster;
use crate::schema::{admit, openrpc};
use crate::wire::call::DISCOVER;
use crate::wire::envelope::Envelope;
use crate::wire::text::chain;

/// What the methods work on.
#[derive(Debug)]
pub struct Plugin {
    /// The service on this machine.
    pub service: Service,
    /// The cluster around it.
    pub cluster: Cluster,
}

/// All methods.
///
/// # Errors
/// Two rows of one name.
pub fn module(plugin: Arc<Plugin>) -> Result<RpcModule<Plugin>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(plugin);
    for row in &TABLE {
        module.register_method(row.name, move |params, plugin, asked| -> RpcResult<Envelope> {
            let input = match admit::admit(row, params.as_str()) {
                Ok(input) => input,
                Err(faults) => {
                    plugin.service.note_refusal();
                    return Ok(Envelope::refused(&faults));
                }
            };
            if row.lane == Lane::Change {
                plugin.service.rehearse_delay();
            }
            if let Some(failure) = plugin.service.rehearse_failure(row.name) {
                return Ok(failure);
            }
            Ok(match asked.get::<Origin>() {
                Some(asked) => plugin.cluster.run(&plugin.service.on_behalf_of(asked.clone()), row, input),
                None => plugin.cluster.run(&plugin.service, row, input),
            })
        })?;
    }
    module.register_method(DISCOVER, |_, plugin, _| -> RpcResult<Value> { Ok(discovered(plugin)) })?;
    Ok(module)
}

/// The published document, and what this machine can do.
fn discovered(plugin: &Plugin) -> Value {
    let mut document = openrpc::document().clone();
    let (mta, why_not) = match plugin.service.mta() {
        Ok((kind, why_not)) => (Some(kind.name()), why_not),
        Err(error) => (None, Some(chain(&error))),
    };
    let nodes: Vec<&str> = plugin.cluster.nodes.iter().map(|node| &*node.id).collect();
    document["x-machine"] = json!({
        "mta": mta,
        "is_changeable": u8::from(why_not.is_none()),
        "why_not": why_not,
        "node": plugin.cluster.own,
        "nodes": nodes,
    });
    document
}
