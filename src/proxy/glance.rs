//! What one look over the names of a request's fields tells, so that not each stage has to search for its own.

use http::HeaderMap;

/// Which fields of those that few requests have are there: found in one pass, which costs less than to look for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) connection: bool,
    pub(super) request_id: bool,
    pub(super) traceparent: bool,
    pub(super) upgrade: bool,
}

impl Glance {
    pub(super) fn at(fields: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in fields.keys() {
            match name.as_str() {
                "connection" => seen.connection = true,
                "x-request-id" => seen.request_id = true,
                "traceparent" => seen.traceparent = true,
                "upgrade" => seen.upgrade = true,
                _ => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_field_is_seen_where_it_is_and_nowhere_else() {
        let none = Glance::default();
        for (name, seen) in [
            ("connection", Glance { connection: true, ..none }),
            ("x-request-id", Glance { request_id: true, ..none }),
            ("traceparent", Glance { traceparent: true, ..none }),
            ("upgrade", Glance { upgrade: true, ..none }),
            ("x-other", none),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(name, HeaderValue::from_static("1"));
            assert_eq!(Glance::at(&fields), seen, "{name}");
        }
    }
}
