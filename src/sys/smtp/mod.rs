//! SMTP as a client sees it: the dialogues that prove a listener, and whether a port refuses connections.
//!
//! What is asked and what is found is in `question`, how a dialogue goes in `dialogue`, what goes over the connection below
//! them. A client here sends no credentials and no mail. Which answers are right is judged by `change::client`;
//! certificates are judged by nobody here. A failure names the server and the step ([`SmtpError`]).

mod connection;
pub mod dialogue;
mod error;
pub mod question;
pub mod reply;
mod session;
mod tls;

pub use dialogue::{dialogue, greeting, refuses};
pub use error::{SmtpError, Step};
pub use question::{Asked, Dialogue, Heard, Layer, Offer, Question, Recipient, Upgrade};
pub use reply::{Reply, TEXT_LIMIT};

#[cfg(test)]
mod script;
