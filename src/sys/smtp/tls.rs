//! TLS as the proof needs it: whatever certificate a server shows is taken.
//!
//! Neither names, issuers and dates nor kinds of keys are judged here: what port 25 serves, this port may serve. What a
//! certificate says of itself is `sys::certificate`'s. A client that cannot be made is rustls's error.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

/// Our side of a handshake with the server at `address`.
///
/// # Errors
/// rustls cannot be set up.
pub(super) fn client(address: SocketAddr) -> Result<ClientConnection, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.ip().into()))
}

/// Takes every certificate: what port 25 serves, this port may serve, be it of a kind that we could not even read. Whether
/// the key is the certificate's is found out before anything is changed.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        vec![
            S::ECDSA_NISTP256_SHA256,
            S::ECDSA_NISTP384_SHA384,
            S::ECDSA_NISTP521_SHA512,
            S::ED25519,
            S::ED448,
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PSS_SHA512,
            S::RSA_PKCS1_SHA256,
            S::RSA_PKCS1_SHA384,
            S::RSA_PKCS1_SHA512,
            S::ECDSA_SHA1_Legacy,
            S::RSA_PKCS1_SHA1,
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use rustls::pki_types::CertificateDer;

    use crate::sys::smtp::dialogue::dialogue;
    use crate::sys::smtp::question::{Heard, Upgrade};
    use crate::sys::smtp::script::{
        MAIL_OVER_TLS, certificate, hold, reply, script, serve, soon, tls, tls_server, with_greeting,
    };

    #[test]
    fn certificates_are_not_judged_however_odd() {
        // Another's key, and bytes that are no certificate at all.
        let (_, key) = certificate();
        for odd in [certificate().0, CertificateDer::from(vec![0x30, 0x00])] {
            let answers = &["250-mx\r\n250 AUTH PLAIN\r\n", "530 no\r\n", "221 bye\r\n"];
            let (result, _) = tls(tls_server(odd, &key), &MAIL_OVER_TLS, answers);
            assert_eq!(result.unwrap().heard, Heard::Mail(reply(530, "no"), None));
        }
    }

    #[test]
    fn a_handshake_answered_with_text_fails() {
        let answers = with_greeting(&["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"]);
        let (address, server) = serve(move |mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &answers[1..]);
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"500 what?\r\n").unwrap();
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let result = dialogue(address, &MAIL_OVER_TLS, soon());
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_hangs_up_in_the_handshake_fails() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"];
        let (result, _) = hold(&MAIL_OVER_TLS, &with_greeting(&answers));
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
    }
}
