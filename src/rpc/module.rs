//! The rows of the table on jsonrpsee's `RpcModule`.
//!
//! One registered method per row, plus `rpc.discover`. Each hands its input to the router (`cluster::route`); the input comes
//! admitted with the request, or is admitted here. Ids, batches and lanes are `dispatch`'s and `lanes`'s. Refused input is a
//! result with an envelope, not an error object.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::{RegisterMethodError, RpcResult};
use serde_json::{Value, json};

use crate::action::query_status::MailServer;
use crate::action::{Lane, TABLE};
use crate::change::Service;
use crate::change::history::Origin;
use crate::cluster::members::Cluster;
use crate::schema::{admit, openrpc};
use crate::wire::call::DISCOVER;
use crate::wire::envelope::Envelope;
use crate::wire::problem::FieldFault;

/// What the methods work on.
#[derive(Debug)]
pub struct Plugin {
    /// The service on this machine.
    pub service: Service,
    /// The cluster around it.
    pub cluster: Cluster,
}

/// The input of a request as its row takes it, or what is wrong with it.
#[derive(Debug, Clone)]
pub struct Admitted(pub Arc<Result<Value, Vec<FieldFault>>>);

impl Admitted {
    /// As it was found.
    pub fn new(found: Result<Value, Vec<FieldFault>>) -> Self {
        Self(Arc::new(found))
    }
}

/// All methods.
///
/// # Errors
/// Two rows of one name.
pub fn module(plugin: Arc<Plugin>) -> Result<RpcModule<Plugin>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(plugin);
    for row in &TABLE {
        module.register_method(row.name, move |params, plugin, asked| -> RpcResult<Envelope> {
            let admitted = asked.get::<Admitted>().cloned();
            let admitted = admitted.unwrap_or_else(|| Admitted::new(admit::admit(row, params.as_str())));
            let input = match &*admitted.0 {
                Ok(input) => input.clone(),
                Err(faults) => {
                    plugin.service.note_refusal();
                    return Ok(Envelope::refused(faults));
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
    let mta = MailServer::from(plugin.service.mta());
    let nodes: Vec<&str> = plugin.cluster.nodes.iter().map(|node| &*node.id).collect();
    document["x-machine"] = json!({
        "mta": mta.kind,
        "is_changeable": mta.is_changeable,
        "reason": mta.reason,
        "why_not": mta.why_not,
        "node": plugin.cluster.own,
        "nodes": nodes,
    });
    document
}
