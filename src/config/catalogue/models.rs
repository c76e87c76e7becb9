//! Small models of a profile's sign-ins: every combination of the values that it mentions, one of each kind of the
//! others, and none. What a profile's proofs do on these they do on any token.

use crate::assurance::mapping::{Accept, ValueMapping};
use crate::assurance::{ClaimSlot, ClaimTable, Expression, Issuer, MethodClass, Source, View};
use crate::token::json::Name;
use crate::token::{ClaimPath, Json};

/// A value that no profile mentions.
const UNHEARD: &str = "unheard-of";
/// The most models that are tried; what a profile would need more for is said to be too large.
const MAX: usize = 400_000;

/// A claim and the values that it takes, besides being absent.
#[derive(Clone, Debug)]
struct Variable {
    claim: ClaimPath,
    values: Vec<Json>,
}

/// Everything that is tried of one issuer.
#[derive(Debug)]
pub(in crate::config) struct Models<'i> {
    issuer: &'i Issuer,
    table: &'i ClaimTable,
    variables: Vec<Variable>,
}

impl<'i> Models<'i> {
    /// The models of an issuer. `asked`: values that its challenges name.
    pub(in crate::config) fn of(issuer: &'i Issuer, table: &'i ClaimTable, asked: &[&str]) -> Self {
        Self::new(issuer, table, asked, false)
    }

    /// The same for proofs that were written without these models in mind: with larger sets of `amr` values, each set that
    /// a proof names with up to two values more.
    pub(in crate::config) fn wide(issuer: &'i Issuer, table: &'i ClaimTable) -> Self {
        Self::new(issuer, table, &[], true)
    }

    fn new(issuer: &'i Issuer, table: &'i ClaimTable, asked: &[&str], wide: bool) -> Self {
        let mut models = Self { issuer, table, variables: Vec::new() };
        let all = || issuer.proofs.iter().map(|proof| &proof.evidence);
        if all().any(|evidence| evidence.consults().contains(&Source::Acr)) {
            let raw = raw(&issuer.mapping.acr, acr_values(all(), asked));
            models.add(issuer.mapping.acr.from.first(), shaped(issuer.mapping.acr.accept, &raw, &pairs(&raw)));
        }
        if all().any(|evidence| evidence.consults().contains(&Source::Amr)) {
            let (each, sets) = methods(issuer, all(), wide);
            models.add(issuer.mapping.amr.from.first(), shaped(issuer.mapping.amr.accept, &each, &sets));
        }
        for evidence in all() {
            evidence.walk(&mut |part| {
                if let Some((slot, values)) = claim_values(part) {
                    models.add(ClaimPath::parse(table.name(slot)).ok().as_ref(), values);
                }
            });
        }
        models
    }

    fn add(&mut self, claim: Option<&ClaimPath>, values: Vec<Json>) {
        let Some(claim) = claim else { return };
        match self.variables.iter_mut().find(|variable| variable.claim == *claim) {
            Some(variable) => {
                let new: Vec<Json> = values.into_iter().filter(|value| !variable.values.contains(value)).collect();
                variable.values.extend(new);
            }
            None => self.variables.push(Variable { claim: claim.clone(), values }),
        }
    }

    /// Whether they are too many to be tried.
    pub(in crate::config) fn too_many(&self) -> bool {
        self.count() > MAX
    }

    /// How many they are.
    pub(in crate::config) fn count(&self) -> usize {
        self.variables
            .iter()
            .fold(1, |count: usize, variable| count.saturating_mul(variable.values.len().saturating_add(1)))
    }

    /// The claims of every model; with one claim as given instead of each of its own values.
    pub(in crate::config) fn each<'m>(
        &'m self,
        fixed: Option<(&'m ClaimPath, &'m Json)>,
    ) -> impl Iterator<Item = Json> + 'm {
        let fixed = fixed.filter(|(claim, _)| self.variables.iter().any(|variable| variable.claim == **claim));
        let varied: Vec<&Variable> =
            self.variables.iter().filter(|variable| fixed.is_none_or(|(claim, _)| variable.claim != *claim)).collect();
        let count = varied.iter().fold(1usize, |count, one| count.saturating_mul(one.values.len().saturating_add(1)));
        (0..count).map(move |number| {
            let mut claims = Vec::new();
            if let Some((claim, value)) = fixed {
                insert(&mut claims, &steps(claim), value);
            }
            let mut rest = number;
            for variable in &varied {
                let choices = variable.values.len().saturating_add(1);
                let (choice, left) = (rest.checked_rem(choices), rest.checked_div(choices));
                rest = left.unwrap_or_default();
                if let Some(value) = choice.and_then(|choice| variable.values.get(choice.checked_sub(1)?)) {
                    insert(&mut claims, &steps(&variable.claim), value);
                }
            }
            Json::Object(claims.into())
        })
    }

    /// Which proofs hold of a user's claims, in their order.
    pub(in crate::config) fn holding(&self, claims: &Json, user_verification_trusted: bool) -> Vec<bool> {
        let mut evidence = self.issuer.evidence(claims, true);
        evidence.reading.user_verification_trusted = user_verification_trusted;
        let facts = self.table.pick(claims);
        let view = View { evidence: &evidence, claims: &facts, ignored: None };
        self.issuer.proofs.iter().map(|proof| proof.evidence.evaluate(&view).holds()).collect()
    }

    /// The claim `acr` with one value, in the shape in which the issuer sends it.
    pub(in crate::config) fn acr(&self, value: Option<&str>) -> Option<(&'i ClaimPath, Json)> {
        let mapping = &self.issuer.mapping.acr;
        let value = value.unwrap_or(UNHEARD).to_owned();
        Some((mapping.from.first()?, shaped(mapping.accept, std::slice::from_ref(&value), &[]).into_iter().next()?))
    }
}

fn claim_values(part: &Expression) -> Option<(ClaimSlot, Vec<Json>)> {
    match part {
        Expression::Claim(slot, values) => {
            let mut values = values.to_vec();
            values.push(UNHEARD.into());
            Some((*slot, values))
        }
        Expression::Present(slot) => Some((*slot, vec![UNHEARD.into()])),
        Expression::All(_)
        | Expression::Any(_)
        | Expression::Not(_)
        | Expression::Acr(_)
        | Expression::AcrAtLeast(_)
        | Expression::AmrAny(_)
        | Expression::AmrAll(_)
        | Expression::AmrNone(_)
        | Expression::AmrOnly(_)
        | Expression::AmrCount(_)
        | Expression::Factors(_)
        | Expression::PhishingResistant
        | Expression::Hardware => None,
    }
}

/// Every `acr` value that is mentioned, the neighbours of every number, and one that is not.
fn acr_values<'e>(all: impl Iterator<Item = &'e Expression>, asked: &[&str]) -> Vec<String> {
    let mut values: Vec<String> = asked.iter().map(|value| (*value).to_owned()).collect();
    for evidence in all {
        evidence.walk(&mut |part| {
            if let Expression::Acr(named) = part {
                values.extend(named.iter().map(ToString::to_string));
            }
            if let Expression::AcrAtLeast(least) = part {
                let near = [least.checked_sub(1), Some(*least), least.checked_add(1)];
                values.extend(near.into_iter().flatten().map(|number| number.to_string()));
            }
        });
    }
    values.push(UNHEARD.to_owned());
    once(values)
}

/// As the vendor sends them, before they are renamed.
fn raw(mapping: &ValueMapping, values: Vec<String>) -> Vec<String> {
    let mut raw: Vec<String> =
        values.into_iter().filter(|value| !mapping.rename.contains_key(value.as_str())).collect();
    raw.extend(mapping.rename.keys().map(ToString::to_string));
    once(raw)
}

/// The `amr` values that are mentioned and one of each kind of the others; and sets of them, of up to three and as large
/// as an expression asks.
fn methods<'e>(
    issuer: &Issuer,
    all: impl Iterator<Item = &'e Expression>,
    wide: bool,
) -> (Vec<String>, Vec<Vec<String>>) {
    let mut named: Vec<String> = vec!["mfa".to_owned()];
    let (mut lists, mut most): (Vec<Vec<String>>, usize) = (Vec::new(), 0);
    for evidence in all {
        let mut together: Vec<String> = Vec::new();
        evidence.walk(&mut |part| {
            if let Expression::AmrAny(values)
            | Expression::AmrAll(values)
            | Expression::AmrNone(values)
            | Expression::AmrOnly(values) = part
            {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                named.extend(values.clone());
                together.extend(values.clone());
                lists.push(values);
            }
            if let Expression::AmrCount(count) = part {
                most = most.max(*count);
            }
        });
        if wide {
            lists.push(once(together));
        }
    }
    named = once(named);
    let mut kinds: Vec<MethodClass> = Vec::new();
    for (value, class) in issuer.methods.iter() {
        if !named.iter().any(|known| known == value) && !kinds.contains(&class) {
            kinds.push(class);
            named.push(value.to_owned());
        }
    }
    named.push(UNHEARD.to_owned());
    named.extend(issuer.ignore_amr.iter().map(ToString::to_string));
    let each = raw(&issuer.mapping.amr, once(named));
    let mut sets = pairs(&each);
    let triples = pairs(&each).into_iter().flat_map(|pair| {
        let after = each.iter().skip_while(|value| Some(*value) != pair.last()).skip(1);
        after.map(|third| [pair.clone(), vec![third.clone()]].concat()).collect::<Vec<_>>()
    });
    sets.extend(triples);
    if wide {
        let more = || each.iter().map(|value| vec![value.clone()]).chain(pairs(&each));
        let larger = lists.iter().filter(|list| list.len() > 1);
        let larger = larger.flat_map(|list| more().map(|more| once([list.clone(), more].concat()))).collect::<Vec<_>>();
        sets.extend(larger);
    }
    sets.extend(lists);
    sets.push(each.iter().take(most).cloned().collect());
    sets.retain(|set| !set.is_empty());
    (each, sets)
}

fn pairs(values: &[String]) -> Vec<Vec<String>> {
    let after = |place: usize| values.iter().skip(place.saturating_add(1));
    values
        .iter()
        .enumerate()
        .flat_map(|(place, one)| after(place).map(|other| vec![one.clone(), other.clone()]))
        .collect()
}

/// Values and sets of values in a JSON shape that is taken.
fn shaped(accept: Accept, each: &[String], sets: &[Vec<String>]) -> Vec<Json> {
    let array = |values: &[String]| Json::Array(values.iter().map(|value| value.as_str().into()).collect());
    if accept.array {
        return each
            .iter()
            .map(|value| array(std::slice::from_ref(value)))
            .chain(sets.iter().map(|set| array(set)))
            .collect();
    }
    if accept.space_separated {
        let joined = sets.iter().map(|set| Json::from(set.join(" ").as_str()));
        return each.iter().map(|value| value.as_str().into()).chain(joined).collect();
    }
    if accept.string {
        return each.iter().map(|value| value.as_str().into()).collect();
    }
    each.iter().filter_map(|value| value.parse::<u64>().ok()).map(|number| Json::Number(number.into())).collect()
}

/// The member names that lead to a claim.
fn steps(claim: &ClaimPath) -> Vec<String> {
    match claim.as_written().strip_prefix('/') {
        None => vec![claim.as_written().to_owned()],
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
    }
}

fn insert(members: &mut Vec<(Name<'_>, Json)>, steps: &[String], value: &Json) {
    let Some((first, rest)) = steps.split_first() else { return };
    if rest.is_empty() {
        members.push((first.clone().into(), value.clone()));
        return;
    }
    let place = members.iter().position(|(name, _)| **name == **first);
    let (name, inner) = place.map_or_else(|| (first.clone().into(), Json::Null), |place| members.swap_remove(place));
    let mut inner: Vec<(Name<'_>, Json)> = if let Json::Object(inner) = inner { inner.into() } else { Vec::new() };
    insert(&mut inner, rest, value);
    members.push((name, Json::Object(inner.into())));
}

fn once(values: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}
