//! What a supervisor writes about its service: `supervise/status`.
//!
//! It reads the two binary formats, 18 bytes of daemontools and 20 of runit. The file outlives its writer: whether
//! anybody still supervises is `service`'s to ask. Bytes of another length or with an impossible pid say nothing.
//! Source: svstat(8), sv(8), and their sources; TAI64N in the first twelve bytes, the pid little-endian behind.

/// What is supervised, as far as it matters here: the rest of the bytes say what was asked, not what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service {
    /// The process that was started, in the supervisor's own pid namespace; `None` while there is none.
    pub pid: Option<i32>,
    /// Since when it is as it is, in seconds since 1970.
    pub since: u64,
}

/// The label that TAI64 gives to the beginning of 1970, with the ten seconds that UTC was behind in 1972.
const EPOCH: u64 = 4_611_686_018_427_387_914;

/// Reads the bytes of the file; `None` if they are not a status.
pub fn parse(bytes: &[u8]) -> Option<Service> {
    if !matches!(bytes.len(), 18 | 20) {
        return None;
    }
    let pid = bytes.get(12..16)?.try_into().ok().map(u32::from_le_bytes)?;
    let pid = i32::try_from(pid).ok()?;
    let since = bytes.get(..8)?.try_into().ok().map(u64::from_be_bytes)?;
    Some(Service { pid: (pid != 0).then_some(pid), since: since.saturating_sub(EPOCH) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(hex: &str) -> Option<Service> {
        let bytes: Vec<u8> = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        parse(&bytes)
    }

    /// What the bytes tell: the process, and since when.
    fn told(hex: &str) -> (Option<i32>, u64) {
        let service = status(hex).unwrap();
        (service.pid, service.since)
    }

    #[test]
    fn supervise_tells_the_process_that_runs() {
        let bytes = "40 00 00 00 6b 03 0c f2 39 4a fc 0c 59 00 00 00 00 75";
        assert_eq!(told(bytes), (Some(89), 1_795_362_024));
    }

    #[test]
    fn supervise_tells_that_the_service_is_down() {
        let bytes = "40 00 00 00 6b 03 0c f2 39 4a fc 0c 00 00 00 00 00 64";
        assert_eq!(told(bytes), (None, 1_795_362_024));
    }

    #[test]
    fn runsv_tells_the_process_that_runs_also_when_it_is_paused() {
        let bytes = "40 00 00 00 6b 03 0d 1b 27 d8 9d 6c a3 00 00 00 01 75 00 01";
        assert_eq!(told(bytes), (Some(163), 1_795_362_065));
    }

    #[test]
    fn runsv_tells_that_the_service_is_down_though_it_should_be_up() {
        let bytes = "40 00 00 00 6b 03 0d 25 0d 59 90 7c 00 00 00 00 00 75 00 00";
        assert_eq!(told(bytes), (None, 1_795_362_075));
    }

    #[test]
    fn what_is_no_status_says_nothing() {
        assert_eq!([parse(b""), parse(&[0; 19]), parse(&[0xff; 18])], [None; 3]);
    }
}
