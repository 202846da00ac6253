//! A live listener: the plugin's own sandbox MTA, configured and started through the plugin.
//!
//! The listener outlives the process that started it, so any number of sessions can ask about it. It is
//! stopped with `mail-smtp2 call stop`, also after a failure or an interruption; what that cannot end, the
//! end of its state directory does (see scratch). How a listener works is the plugin's affair.

use crate::fault::Fault;
use crate::load::ask_once;
use crate::machine::two_free_ports;
use crate::reply::{Ask, Expected};
use crate::server::{Server, call};
use crate::session::Session;
use crate::watchdog::Watchdog;

const SUCCESS: Expected = Expected::Exactly("\"Success\"");
pub const START: Ask = Ask { action: "start", params: None, payload: SUCCESS };
pub const STOP: Ask = Ask { action: "stop", params: None, payload: SUCCESS };

pub struct Sandbox {
    pub server: Server,
    dog: Watchdog,
    ports: [u16; 2],
    stopped: bool,
}

impl Sandbox {
    pub fn start(server: Server, dog: &Watchdog) -> Result<Sandbox, Fault> {
        let sandbox = Sandbox { server, dog: dog.clone(), ports: two_free_ports()?, stopped: false };
        let mut session = Session::spawn(&sandbox.server, dog)?;
        sandbox.update(&mut session, 0)?;
        ask_once(&mut session, &START)?;
        session.finish()?;
        Ok(sandbox)
    }

    /// Moves the listener to one of its two ports; an even turn names the first.
    pub fn update(&self, session: &mut Session, turn: usize) -> Result<f64, Fault> {
        let port = self.ports[turn % 2];
        let params = format!("{{\"alternate_smtp_port\":{port},\"auth_mode\":\"auth_yes/tls_yes\"}}");
        let ask = Ask { action: "update", params: Some(&params), payload: SUCCESS };
        Ok(ask_once(session, &ask)?.p50)
    }

    pub fn stop(mut self) -> Result<(), Fault> {
        self.stopped = true;
        call(&self.server, &STOP, &self.dog)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.stopped {
            // Why the run failed is said elsewhere; the scratch folder's end comes next.
            let _ = call(&self.server, &STOP, &self.dog);
        }
    }
}
