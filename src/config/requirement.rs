//! `require`: what a route or floor asks for.

use crate::assurance::{ClaimTable, Expression, Issuer, IssuerId, Rung};
use crate::config::expression::{self, claim, slot};
use crate::config::ladders::Scale;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::policy::pattern::Segment;
use crate::policy::{Condition, Demand, PathPattern, Requirement, WantedCaller};

const REQUIREMENT: Keys = Keys {
    what: "a requirement",
    known: &[
        "level",
        "max_age",
        "scopes",
        "issuers",
        "audience",
        "caller",
        "clients",
        "ignore_amr",
        "bind",
        "acr",
        "amr",
        "factors",
        "phishing_resistant",
        "hardware",
        "claims",
        "not",
        "all",
        "any",
    ],
    later: &["sender_constrained"],
};
const SCOPES: Keys = Keys { what: "`scopes`", known: &["all", "any"], later: &[] };

/// What a requirement may name.
#[derive(Debug)]
pub struct Requirements<'r> {
    /// The ladders.
    pub scale: &'r Scale,
    /// The names of all issuers.
    pub names: &'r [(Box<str>, IssuerId)],
    /// Those that could be compiled; `None` where one could not.
    pub issuers: &'r [Option<Issuer>],
    /// The claims that the policy reads.
    pub claims: &'r mut ClaimTable,
    /// What was found wrong.
    pub out: &'r mut Report,
}

/// Where a demand stands: what those around it said.
#[derive(Clone, Copy)]
struct Scope<'s> {
    path: Option<&'s PathPattern>,
    /// The issuers that are left; `None`: all, since none were named.
    issuers: Option<&'s [IssuerId]>,
    /// Where `caller: client` stands.
    client: Option<Span>,
    /// Whether something around it already asks how the user signed in, or that no user calls.
    guarded: bool,
    /// Whether all issuers named were known, so that something can be said of those that are left.
    sure: bool,
}

impl Requirements<'_> {
    /// Reads a whole requirement. `path`: the pattern whose parameters `bind` may name, if it could be read.
    pub fn read(&mut self, node: &Node, path: Option<&PathPattern>) -> Option<Requirement> {
        match reader::word(node) {
            Some("public") => return Some(Requirement::Public),
            Some("authenticated") => return Some(Requirement::Authenticated),
            Some(word) => {
                let message = format!("expected a requirement, found `{word}`");
                let help = "write `public`, `authenticated` or a mapping such as `{ level: multi-factor }`";
                self.out.add(Problem::error("wrong_type", node.span, message).help(help));
                return None;
            }
            None => {}
        }
        self.demand(node, Scope { path, issuers: None, client: None, guarded: false, sure: true })
            .map(Requirement::Demands)
    }

    /// Reads what is asked of one issuer's users in the place of a route's level, evidence and age.
    pub fn instead(&mut self, node: &Node, issuer: IssuerId) -> Option<Demand> {
        self.demand(node, Scope { path: None, issuers: Some(&[issuer]), client: None, guarded: false, sure: true })
    }

    fn demand(&mut self, node: &Node, around: Scope<'_>) -> Option<Demand> {
        let fields = Fields::of(node, REQUIREMENT, self.out)?;
        if fields.is_empty() {
            let help = "write `public` if no token is needed, `authenticated` if any valid one is enough";
            self.out
                .add(Problem::error("empty_requirement", node.span, "a requirement that asks for nothing").help(help));
            return None;
        }
        let errors = self.out.errors();
        let mut conditions: Vec<Condition> = Vec::new();

        let named = fields.get("issuers", self.out).and_then(|node| self.issuers(node));
        let sure = around.sure && self.out.errors() == errors;
        let left: Option<Vec<IssuerId>> = match (&named, around.issuers) {
            (Some(named), Some(outer)) => Some(named.iter().filter(|id| outer.contains(id)).copied().collect()),
            (Some(named), None) => Some(named.clone()),
            (None, outer) => outer.map(<[IssuerId]>::to_vec),
        };
        conditions.extend(named.map(|named| Condition::Issuers(named.into())));
        let caller = fields.get("caller", self.out).and_then(|node| self.caller(node));
        let client = match caller {
            Some(WantedCaller::Client) => fields.key_span("caller"),
            Some(WantedCaller::User) | None => around.client,
        };
        conditions.extend(caller.map(Condition::Caller));
        let scope = Scope { path: around.path, issuers: left.as_deref(), client, guarded: false, sure };

        for (name, what) in [("audience", "a list of audiences"), ("clients", "a list of client ids")] {
            let values = fields.get(name, self.out).and_then(|node| reader::texts(node, what, self.out));
            conditions.extend(values.map(|values| match name {
                "audience" => Condition::Audience(values),
                _ => Condition::Clients(values),
            }));
        }
        if let Some(node) = fields.get("level", self.out) {
            conditions.extend(self.levels(node, scope).into_iter().map(Condition::Level));
        }
        if let Some(node) = fields.get("max_age", self.out) {
            self.never_of_a_client("max_age", fields.key_span("max_age"), scope);
            conditions.extend(self.max_age(node).map(Condition::MaxAge));
        }
        conditions.extend(fields.get("scopes", self.out).and_then(|node| self.scopes(node)));
        if let Some(node) = fields.get("bind", self.out) {
            conditions.extend(self.bind(node, scope));
        }
        let evidence = expression::own_evidence(&fields, self.claims, self.out);
        self.check_evidence(&evidence, &fields, scope);
        conditions.extend(evidence.into_iter().map(Condition::Evidence));
        let scope = Scope { guarded: around.guarded || conditions.iter().any(guards), ..scope };
        conditions.extend(self.group("all", &fields, scope).map(Condition::All));
        let scope = Scope { guarded: scope.guarded || conditions.iter().any(guards), ..scope };
        conditions.extend(self.group("any", &fields, scope).map(Condition::Any));
        let ignore_amr = fields
            .get("ignore_amr", self.out)
            .and_then(|node| reader::texts(node, "a list of `amr` values", self.out))
            .unwrap_or_default();

        if self.out.errors() > errors {
            return None;
        }
        if conditions.is_empty() {
            let message = "`ignore_amr` alone asks for nothing";
            self.out.add(
                Problem::error("empty_requirement", node.span, message).help("say what is asked, such as `level`"),
            );
            return None;
        }
        Some(Demand { conditions: conditions.into(), ignore_amr })
    }

    fn group(&mut self, name: &'static str, fields: &Fields<'_>, scope: Scope<'_>) -> Option<Box<[Demand]>> {
        let node = fields.get(name, self.out)?;
        let items = reader::list(node, "a list of requirements", self.out)?;
        let mut demands = Vec::new();
        for item in items {
            if let Some(word @ ("public" | "authenticated")) = reader::word(item) {
                let message = format!("`{word}` stands alone: it can't be one of several requirements");
                self.out.add(Problem::error("wrong_type", item.span, message));
                continue;
            }
            let demand = self.demand(item, scope);
            demands.extend(demand.map(|demand| (item.span, demand)));
        }
        if name == "any" && !scope.guarded {
            self.open_alternatives(&demands);
        }
        let demands: Vec<Demand> = demands.into_iter().map(|(_, demand)| demand).collect();
        Some(demands.into())
    }

    /// Whoever can't meet the strict alternative takes the open one, so the strict one protects nothing.
    fn open_alternatives(&mut self, demands: &[(Span, Demand)]) {
        let Some((strict, _)) = demands.iter().find(|(_, demand)| demand.conditions.iter().any(guards)) else { return };
        for (span, _) in demands.iter().filter(|(_, demand)| !demand.conditions.iter().any(guards)) {
            let message = "this alternative does not ask how the user signed in, so the stricter ones protect nothing";
            let help = "ask for a `level`, evidence or `max_age` here too, or write `caller: client` if only clients are meant";
            let problem = Problem::lint("open_alternative", *span, message).help(help);
            self.out.add(problem.related(*strict, "a stricter alternative"));
        }
    }

    fn issuers(&mut self, node: &Node) -> Option<Vec<IssuerId>> {
        let mut found = Vec::new();
        for item in reader::list(node, "a list of issuers' names", self.out)? {
            let name = reader::text(item, "an issuer's name", self.out)?;
            match self.names.iter().find(|(known, _)| **known == *name) {
                Some((_, id)) if found.contains(id) => {
                    let message = format!("`{name}` stands twice in this list");
                    self.out.add(Problem::error("duplicate_value", item.span, message));
                }
                Some((_, id)) => found.push(*id),
                None => {
                    let help = reader::suggest(name, self.names.iter().map(|(name, _)| &**name));
                    let message = format!("unknown issuer `{name}`");
                    self.out.add(Problem::error("unknown_issuer", item.span, message).help(help));
                }
            }
        }
        Some(found)
    }

    fn caller(&mut self, node: &Node) -> Option<WantedCaller> {
        reader::choice(node, &[("user", WantedCaller::User), ("client", WantedCaller::Client)], self.out)
    }

    fn levels(&mut self, node: &Node, scope: Scope<'_>) -> Vec<Rung> {
        self.never_of_a_client("level", Some(node.span), scope);
        let rungs = self.scale.rungs(node, self.out).unwrap_or_default();
        for rung in &rungs {
            self.check_provable(*rung, node.span, scope);
        }
        rungs
    }

    /// A level that no issuer left can prove would refuse everybody.
    fn check_provable(&mut self, rung: Rung, span: Span, scope: Scope<'_>) {
        if !scope.sure {
            return;
        }
        let left = |id: &IssuerId| scope.issuers.is_none_or(|issuers| issuers.contains(id));
        let admitted: Vec<&Issuer> = match self.issuers.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
            Some(all) => all.into_iter().filter(|issuer| left(&issuer.id)).collect(),
            None => return,
        };
        if admitted.iter().any(|issuer| issuer.can_prove(rung)) {
            return;
        }
        let name = self.scale.ladders.name(rung);
        let rungs: Vec<Rung> = self.scale.ladders.rungs().filter(|other| other.ladder() == rung.ladder()).collect();
        let best = rungs.iter().rev().find_map(|rung| {
            admitted
                .iter()
                .find(|issuer| issuer.can_prove(*rung))
                .map(|issuer| (self.scale.ladders.name(*rung), issuer))
        });
        let message = match scope.issuers {
            Some(_) => format!("no issuer that is admitted here can prove `{name}`"),
            None => format!("no issuer can prove `{name}`"),
        };
        let help = match best {
            Some((best, issuer)) => {
                format!(
                    "the strongest is `{best}`, by `{}`; give an issuer a proof of `{name}` under `proves`",
                    issuer.name
                )
            }
            None => format!("give an issuer a proof of `{name}` under `proves`, or a `profile`"),
        };
        self.out.add(Problem::error("level_unprovable", span, message).help(help));
    }

    fn max_age(&mut self, node: &Node) -> Option<u32> {
        let age = reader::duration(node, self.out)?;
        let seconds = u32::try_from(age.as_secs()).ok().filter(|seconds| *seconds > 0 && age.subsec_nanos() == 0);
        if seconds.is_none() {
            let message = "`max_age` is counted in whole seconds, from `1s` up to a hundred years";
            self.out.add(Problem::error("out_of_range", node.span, message));
        }
        seconds
    }

    fn scopes(&mut self, node: &Node) -> Option<Condition> {
        if let Kind::List(_) = &node.kind {
            let message = "a bare list under `scopes` does not say whether one of them is enough or all are needed";
            let help = "write `scopes: { all: [..] }` or `scopes: { any: [..] }`";
            self.out.add(Problem::error("scopes_list", node.span, message).help(help));
            return None;
        }
        let fields = Fields::of(node, SCOPES, self.out)?;
        if fields.is_empty() {
            self.out.add(Problem::error("empty_requirement", node.span, "an empty `scopes` asks for nothing"));
        }
        let mut values = |name| {
            let values = reader::texts(fields.get(name, self.out)?, "a list of scopes", self.out);
            for scope in values.iter().flatten().filter(|scope| scope.contains([' ', '"', '\\'])) {
                let message = format!("`{scope}` is no scope: a scope has no space, quote or backslash");
                self.out.add(Problem::error("bad_scope", fields.key_span(name).unwrap_or(node.span), message));
            }
            values
        };
        let (all, any) = (values("all"), values("any"));
        Some(Condition::Scopes { all: all.unwrap_or_default(), any: any.unwrap_or_default() })
    }

    fn bind(&mut self, node: &Node, scope: Scope<'_>) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let pairs = reader::mapping(node, "`bind`", self.out).unwrap_or_default();
        if matches!(&node.kind, Kind::Map(pairs) if pairs.is_empty()) {
            self.out.add(Problem::error("empty_requirement", node.span, "an empty `bind` asks for nothing"));
        }
        for (key, node) in pairs {
            let names: Vec<&str> = scope.path.map(parameters).unwrap_or_default();
            if scope.path.is_some() && !names.contains(&&*key.text) {
                let help = match names.is_empty() {
                    true => "the path has no parameter; write one as `{name}`".to_owned(),
                    false => reader::suggest(&key.text, names.into_iter()),
                };
                let message = format!("the path has no parameter `{}`", key.text);
                self.out.add(Problem::error("unknown_parameter", key.span, message).help(help));
            }
            let path = reader::text(node, "a claim", self.out).and_then(|text| claim(text, node.span, self.out));
            let slot = path.and_then(|path| slot(path, node.span, self.claims, self.out));
            conditions.extend(slot.map(|claim| Condition::Bind { parameter: key.text.clone(), claim }));
        }
        conditions
    }

    fn check_evidence(&mut self, evidence: &[Expression], fields: &Fields<'_>, scope: Scope<'_>) {
        if let Some(name) =
            ["acr", "amr", "factors", "phishing_resistant", "hardware"].into_iter().find(|name| fields.has(name))
        {
            self.never_of_a_client(name, fields.key_span(name), scope);
        }
        if evidence.iter().any(|part| matches!(part, Expression::Not(_)) && !part.consults().is_empty()) {
            self.never_of_a_client("not", fields.key_span("not"), scope);
        }
        let asks_acr = evidence.iter().any(|part| part.consults().contains(&crate::assurance::Source::Acr));
        if asks_acr && scope.issuers.is_none() && self.names.len() > 1 {
            let span = fields.key_span("acr").or(fields.key_span("not")).unwrap_or(fields.span);
            let message = "this asks for `acr` itself, and what a value means belongs to the issuer that says it";
            let help = "name the issuers that mean it: `issuers: [..]`, or ask for a `level`";
            self.out.add(Problem::error("acr_without_issuers", span, message).help(help));
        }
    }

    /// What a user must have, a client never has, so asking both refuses everybody.
    fn never_of_a_client(&mut self, what: &str, span: Option<Span>, scope: Scope<'_>) {
        if let Some((client, span)) = scope.client.zip(span) {
            let message = format!("a client never has what `{what}` asks for, so this can never hold");
            let help = "make them two alternatives: `any: [ { level: .. }, { caller: client, .. } ]`";
            let problem = Problem::error("never_holds", span, message).help(help);
            self.out.add(problem.related(client, "only a client is let in here"));
        }
    }
}

/// Whether a condition asks how the user signed in, or that the caller is no user.
fn guards(condition: &Condition) -> bool {
    let guarded = |demand: &Demand| demand.conditions.iter().any(guards);
    match condition {
        Condition::Level(_) | Condition::Evidence(_) | Condition::MaxAge(_) => true,
        Condition::Caller(caller) => *caller == WantedCaller::Client,
        Condition::All(parts) => parts.iter().any(guarded),
        Condition::Any(parts) => parts.iter().all(guarded),
        Condition::Issuers(_)
        | Condition::Audience(_)
        | Condition::Clients(_)
        | Condition::Scopes { .. }
        | Condition::Bind { .. } => false,
    }
}

fn parameters(path: &PathPattern) -> Vec<&str> {
    let mut names = Vec::new();
    for segment in path.segments() {
        match segment {
            Segment::Parameter(name) => names.push(&**name),
            Segment::Literal(_) | Segment::Folded(_) => {}
        }
    }
    names
}
