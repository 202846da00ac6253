//! The table of figures: one row is one line of the report, how it is come by, and its goal.
//!
//! To show another figure, write another row. The rows say nothing of how to measure (see probe, alone) nor
//! of how to print (see report).

use crate::reply::{Ask, Expected};

pub struct Figure {
    /// `{sockets}` and `{changes}` stand for the options of those names.
    pub title: &'static str,
    pub source: Source,
    pub goal: Goal,
}

pub enum Source {
    /// Measured on the plugin and on what it is held against, side by side in every round.
    Pair(Pair),
    /// Measured once, on the plugin alone.
    Alone(Alone),
}

#[derive(Clone, Copy)]
pub struct Pair {
    pub ask: Ask<'static>,
    pub plugin: Plugin,
    pub probe: Probe,
    pub beside: Beside,
    pub crowd: Others,
}

/// What the plugin is held against.
#[derive(Clone, Copy)]
pub enum Beside {
    /// The floor, with this probe.
    Floor(Probe),
    /// Itself, asked something else in the same way.
    Itself(Ask<'static>),
}

/// On which state directory the plugin works.
#[derive(Clone, Copy, PartialEq)]
pub enum Plugin {
    Unconfigured,
    Listening,
}

/// What else is open on the machine meanwhile.
#[derive(Clone, Copy, PartialEq)]
pub enum Others {
    AsFound,
    ManySockets,
}

#[derive(Clone, Copy)]
pub enum Probe {
    RoundTrip { in_flight: usize },
    Throughput { in_flight: usize },
    FirstReply,
    Call,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Alone {
    Resident,
    ResidentAfterLoad,
    Growth,
    Update,
    Start,
    Stop,
}

pub enum Goal {
    AtMostTimes(f64),
    AtLeastTimes(f64),
    AtMostMegabytes(f64),
    None,
}

pub const SERVICE_NAME: Ask = read("listServiceName", "\"smtp2\"");
const IS_RUNNING: Ask = read("isRunning", "true");
/// What it says of pids, times and sessions is as it may be.
const STATUS: Ask = Ask {
    action: "queryStatus",
    params: None,
    payload: Expected::Object(r#"{"is_running":1,"reason":"running"}"#),
};

/// Every read without parameters, as a machine answers that was never configured.
pub const READS: &[Ask] = &[
    read("isRunning", "false"),
    read("listGeneralName", "\"##LG_ALTERNATE_INBOUND_SMTP_SERVER##\""),
    read("listPortNumbers", "\"Success\""),
    read("listPortNumbersArray", "[\"\"]"),
    read("listRequiredPermissions", "[\"EMAIL\"]"),
    read(
        "listServiceInfo",
        r###"{"id":"smtp2","name":"##LG_ALTERNATE_INBOUND_SMTP_SERVER##","ports":"","page":"/nodeworx/mail/mta","ctrl":"/nodeworx/mail/smtp2","is_running":0}"###,
    ),
    SERVICE_NAME,
    read("listServicePage", "\"/nodeworx/mail/mta\""),
    read("queryUpdate", r#"{"alternate_smtp_port":587,"auth_mode":"0"}"#),
];

const fn read(action: &'static str, payload: &'static str) -> Ask<'static> {
    Ask { action, params: None, payload: Expected::Exactly(payload) }
}

const fn unconfigured(probe: Probe) -> Source {
    Source::Pair(Pair {
        ask: SERVICE_NAME,
        plugin: Plugin::Unconfigured,
        probe,
        beside: Beside::Floor(probe),
        crowd: Others::AsFound,
    })
}

const fn is_running(crowd: Others) -> Source {
    listening(IS_RUNNING, Beside::Floor(TRIP), crowd)
}

const fn listening(ask: Ask<'static>, beside: Beside, crowd: Others) -> Source {
    Source::Pair(Pair { ask, plugin: Plugin::Listening, probe: TRIP, beside, crowd })
}

const TRIP: Probe = Probe::RoundTrip { in_flight: 1 };
const BY_PROCESS: Pair = Pair {
    ask: SERVICE_NAME,
    plugin: Plugin::Unconfigured,
    probe: Probe::Call,
    beside: Beside::Floor(TRIP),
    crowd: Others::AsFound,
};

pub const FIGURES: &[Figure] = &[
    Figure {
        title: "listServiceName, p50, 1 in flight",
        source: unconfigured(TRIP),
        goal: Goal::AtMostTimes(1.25),
    },
    Figure {
        title: "listServiceName, p50, 16 in flight",
        source: unconfigured(Probe::RoundTrip { in_flight: 16 }),
        goal: Goal::AtMostTimes(2.5),
    },
    Figure {
        title: "listServiceName, requests/s, 256 in flight",
        source: unconfigured(Probe::Throughput { in_flight: 256 }),
        goal: Goal::AtLeastTimes(0.15),
    },
    Figure {
        title: "isRunning, live listener, p50, 1 in flight",
        source: is_running(Others::AsFound),
        goal: Goal::AtMostTimes(3.0),
    },
    Figure {
        title: "isRunning, {sockets} other sockets open, p50",
        source: is_running(Others::ManySockets),
        goal: Goal::AtMostTimes(3.0),
    },
    Figure {
        title: "queryStatus beside isRunning, live listener, p50",
        source: listening(STATUS, Beside::Itself(IS_RUNNING), Others::AsFound),
        goal: Goal::AtMostTimes(3.0),
    },
    Figure {
        title: "first reply, from the spawn",
        source: unconfigured(Probe::FirstReply),
        goal: Goal::AtMostTimes(1.5),
    },
    Figure {
        title: "a process per request, call listServiceName",
        source: Source::Pair(BY_PROCESS),
        goal: Goal::None,
    },
    Figure {
        title: "resident memory after every read",
        source: Source::Alone(Alone::Resident),
        goal: Goal::AtMostMegabytes(4.0),
    },
    Figure {
        title: "resident memory after 256 in flight",
        source: Source::Alone(Alone::ResidentAfterLoad),
        goal: Goal::None,
    },
    Figure {
        title: "memory growth, change 1 to change {changes}",
        source: Source::Alone(Alone::Growth),
        goal: Goal::AtMostMegabytes(1.0),
    },
    Figure {
        title: "update of a running listener, proven",
        source: Source::Alone(Alone::Update),
        goal: Goal::None,
    },
    Figure { title: "start, proven", source: Source::Alone(Alone::Start), goal: Goal::None },
    Figure { title: "stop, proven", source: Source::Alone(Alone::Stop), goal: Goal::None },
];
