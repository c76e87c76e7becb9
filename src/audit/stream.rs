//! The line about a stream that was let in and later ended.

use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::audit::record::{Record, VERSION};
use crate::audit::timestamp::Rfc3339;
use crate::telemetry::StreamEnded;

/// What is written when a stream is ended: a further line with the id of the request that it began with.
#[derive(Clone, Copy, Debug)]
pub struct StreamLine<'a> {
    /// Which way in the request took.
    pub via: &'a str,
    /// What was ended.
    pub ended: StreamEnded<'a>,
}

impl Serialize for StreamLine<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let StreamEnded { at, id, route, why, lasted } = self.ended;
        let mut line = out.serialize_struct("StreamLine", 7)?;
        line.serialize_field("v", &VERSION)?;
        line.serialize_field("ts", &Rfc3339(at))?;
        line.serialize_field("id", id)?;
        line.serialize_field("via", self.via)?;
        line.serialize_field("route", route)?;
        line.serialize_field("ended", why.code())?;
        // Milliseconds are more than the worker's clock knows.
        let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        line.serialize_field("seconds", &Duration::from_millis(millis).as_secs_f64())?;
        line.end()
    }
}

impl Record for StreamLine<'_> {
    fn append_to(&self, out: &mut String) -> serde_json::Result<()> {
        out.push_str(&serde_json::to_string(self)?);
        Ok(())
    }
}
