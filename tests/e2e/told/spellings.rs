//! Hundreds of ways to write a path that some server may take for one under `/admin`.

const HEADS: [&str; 4] = ["/public", "/public/x", "/public;v=1", ""];
const SLASHES: [&str; 12] =
    ["/", "//", "/./", "/%2e/", "%2f", "%2F", "\\", "%5c", "%252f", "/;/", "%c0%af", "%ef%bc%8f"];
const DOTS: [&str; 18] = [
    "",
    "..",
    "%2e%2e",
    ".%2E",
    "..;",
    "..;x=1",
    "%2e%2e%3b",
    "..%00",
    "..%0d%0a",
    "..%20",
    "...",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "%ef%bc%8e%ef%bc%8e",
    "x/..",
    "x%2f..",
    "x/../..",
];
const ADMINS: [&str; 4] = ["admin/secret", "%61dmin;v/secret", "Admin%2fsecret", "admin"];

/// Each of them, and what they do not cover: targets that are no plain path.
pub(super) fn all() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for head in HEADS {
        for (number, slash) in SLASHES.iter().enumerate() {
            for (place, dots) in DOTS.iter().enumerate() {
                // One name of four for each, all of them in turn.
                let admin = ADMINS[(number + place) % ADMINS.len()];
                let between = SLASHES[(number * 5 + place) % SLASHES.len()];
                let way = if dots.is_empty() { String::new() } else { format!("{dots}{between}") };
                all.push(format!("{head}{slash}{way}{admin}"));
            }
        }
    }
    all.extend(
        [
            "//admin/secret",
            "//x/admin/secret",
            "///admin/secret",
            "/%2fadmin/secret",
            "/%2Fx/admin/secret",
            "/public#/../admin/secret",
            "/public/%23/../../admin",
            "/public?/../admin/secret",
            "/public%3f/../admin/secret",
            "http://gate.example/admin/secret",
            "http://gate.example//admin/secret",
            "http://gate.example/public/..%2fadmin",
            "HTTP://GATE.EXAMPLE/public/%2e%2e/admin",
            "admin/secret",
            "*",
            "/ADMIN/secret",
            "/admin./secret",
            "/admin%20/secret",
            "/admin%09",
            "/admin/",
            "/admin//",
            "/admin;/secret",
            "/admin;jsessionid=1/secret",
            "/;/admin/secret",
            "/;x=/admin",
            "/.;/admin",
            "/%61%64%6d%69%6e/secret",
            "/%61%64%6D%69%6E%2fsecret",
            "/adm%69n%3bx/secret",
            "/a%64min%253b/secret",
            "/public/..%c0%afadmin",
            "/public/.%00./admin",
            "/public/\u{202e}/../admin",
            "/public/%e2%80%ae/../admin",
            "/adm%C4%B1n/secret",
            "/%EF%BD%81dmin/secret",
            "/public/x%",
            "/public/%zz/../../admin",
            "/public/+/../../admin",
            "/public/a:b/../../admin",
            "/public/@x/../../admin",
        ]
        .map(str::to_owned),
    );
    all.push(format!("/public/{}/admin", "../".repeat(400)));
    all.push(format!("/public/{}{}admin", "x/".repeat(300), "../".repeat(301)));
    all.push(format!("/public/{}/../../admin", "a".repeat(8000)));
    all
}

/// The path as the most willing of applications reads it, after its server did: escapes undone once more, backslashes for
/// slashes, parameters dropped, several slashes for one, dots resolved.
pub(super) fn at_worst(path: &str) -> Vec<String> {
    let path = unescaped(path).replace('\\', "/");
    let mut kept: Vec<String> = Vec::new();
    for segment in path.split('/') {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name.to_owned()),
        }
    }
    kept
}

fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
