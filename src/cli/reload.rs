//! Puts the newest content of the policy folder in force while requests go on, or says why it cannot be.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::cli::parts::{self, Compiled, Tokens};
use crate::config::{IssuerKeys, Settings, SourceFile};
use crate::live::changes::Changes;
use crate::live::folder::{self, Content};
use crate::live::snapshot::NoUpstream;
use crate::live::watch::{Nudge, watch};
use crate::live::{Live, Snapshot};
use crate::telemetry::{Metrics, Reloads};

/// Everything that another policy changes.
#[derive(Debug)]
pub(super) struct Reload {
    settings: Arc<Settings>,
    live: Arc<Live>,
    tokens: Arc<Tokens>,
    metrics: Arc<Metrics>,
    reloads: Arc<Reloads>,
    earlier: Vec<Earlier>,
}

/// A policy that is in force no more, and that requests under way may still be judged by.
#[derive(Debug)]
struct Earlier {
    /// Kept so that freeing it is never a request's work.
    snapshot: Arc<Snapshot>,
    until: Instant,
}

/// Another policy, ready to be put in force.
#[derive(Debug)]
struct Ready {
    snapshot: Snapshot,
    keys: Vec<IssuerKeys>,
}

/// How often it is looked whether requests of an earlier policy are left.
const LOOK: Duration = Duration::from_millis(100);
/// How long those have to verify their tokens, which takes a few seconds when an issuer must be asked and is slow.
const LEAVE: Duration = Duration::from_secs(10);
/// The most that is kept and logged of what is wrong with a policy.
const MOST_DIAGNOSTICS: usize = 256 << 10;

impl Reload {
    pub(super) fn new(
        settings: &Settings,
        live: &Arc<Live>,
        tokens: &Arc<Tokens>,
        metrics: &Arc<Metrics>,
        reloads: &Arc<Reloads>,
    ) -> Self {
        Self {
            settings: Arc::new(settings.clone()),
            live: Arc::clone(live),
            tokens: Arc::clone(tokens),
            metrics: Arc::clone(metrics),
            reloads: Arc::clone(reloads),
            earlier: Vec::new(),
        }
    }

    /// Watches the settings' policy folder, in which `files` were found and put in force. Ends with its runtime.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn run(self, control: &Handle, files: Vec<SourceFile>, nudge: Nudge) -> io::Result<()> {
        let folder = self.settings.policies.clone();
        let read = move || folder::content(&folder);
        let (found, contents) = channel();
        thread::Builder::new().name("stepgate-policy".into()).spawn(move || self.work(&contents))?;
        control.spawn(watch(Ok(files), read, nudge, move |content, _cause| {
            // Whoever takes them ends later than whoever sends them.
            let _taken = found.send(content.clone());
        }));
        Ok(())
    }

    /// Everything that another policy asks to be computed or freed is this thread's, which none of the runtimes waits for. It has the
    /// usual priority: with a lower one (nice 10, `SCHED_IDLE`) the slowest requests under reloads were slower and not faster, as
    /// docs/performance.md tells.
    fn work(mut self, contents: &Receiver<Content>) {
        loop {
            let next = if self.earlier.is_empty() {
                contents.recv().map_err(|_ended| RecvTimeoutError::Disconnected)
            } else {
                contents.recv_timeout(LOOK)
            };
            match next {
                // While one was compiled others may have come; the newest replaces those that wait.
                Ok(content) => self.take(contents.try_iter().last().unwrap_or(content)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // After each reload too: one that follows another at once must not keep all before it.
            self.let_go();
        }
    }

    /// One content of the folder: all of it, or nothing.
    fn take(&mut self, content: Content) {
        // Compiling changes nothing that anyone else sees.
        let compiled = catch_unwind(AssertUnwindSafe(|| ready(content, &self.settings, &self.live)));
        match compiled.unwrap_or_else(|_bug| Err("the policy could not be compiled because of a bug".to_owned())) {
            Ok(Some(ready)) => self.put_in_force(ready),
            Ok(None) => {
                self.reloads.unchanged();
                let policy = self.live.current().policy.hash().to_owned();
                tracing::info!(policy, "the policy folder holds the policy that is in force; nothing changes");
            }
            Err(diagnostics) => self.refuse(&diagnostics),
        }
    }

    /// No request is judged by anything but its own snapshot with the keys of that snapshot's policy, whatever is done here
    /// and when. It takes its snapshot once, and asks for an issuer's keys by that policy's hash. So:
    ///
    /// - `take_up` comes first. It adds the keys of the new policy beside those of the old one. Requests of the old policy
    ///   don't see them (a name that now means another issuer is not mixed up), and no request of the new one ever finds
    ///   its policy without keys. Issuers that did not change share theirs, so what both policies believe is believed
    ///   before, while and after; issuers that are new to the gate begin to fetch, and their first requests wait for that
    ///   as at a start.
    /// - `swap` is the one moment of the change: whoever took the snapshot before is judged by the old policy to the end,
    ///   whoever takes it after by the new one.
    /// - `let_go` comes last, when nobody holds the old snapshot or all have had the time to verify their tokens. Only then
    ///   do the keys that the old policy alone believed become void. They could let nobody in before either but those who
    ///   are judged by the old policy: a remembered token counts for a policy only if that policy has its issuer with the
    ///   same fingerprint, which covers all by which tokens are verified and read, the source of the keys included.
    fn put_in_force(&mut self, Ready { snapshot, keys }: Ready) {
        let hash = snapshot.policy.hash().to_owned();
        let old = self.live.current();
        let changes = Changes::between(&old.policy, &snapshot.policy);
        drop(old);
        self.tokens.take_up(&hash, &keys);
        self.metrics.install(&snapshot.policy);
        let old = self.live.swap(snapshot);
        self.reloads.taken();
        say(old.policy.hash(), &hash, &changes);
        let until = Instant::now().checked_add(LEAVE).unwrap_or_else(Instant::now);
        self.earlier.push(Earlier { snapshot: old, until });
    }

    /// Frees the policies that are needed no more, and has the keys be forgotten that only they had.
    fn let_go(&mut self) {
        let (before, now) = (self.earlier.len(), Instant::now());
        self.earlier.retain(|earlier| Arc::strong_count(&earlier.snapshot) > 1 && now < earlier.until);
        if self.earlier.len() < before {
            let still: Vec<&str> = self.earlier.iter().map(|earlier| earlier.snapshot.policy.hash()).collect();
            self.tokens.let_go(&still);
        }
    }

    fn refuse(&self, diagnostics: &str) {
        let policy = self.live.current().policy.hash().to_owned();
        let diagnostics = shortened(diagnostics.trim_end());
        if self.reloads.refused(&diagnostics) {
            tracing::error!(policy, %diagnostics, "the content of the policy folder is refused; the policy in force stays");
        } else {
            tracing::error!(policy, "the content of the policy folder is refused as before; the policy in force stays");
        }
    }
}

/// Compiles what the folder holds, against the settings; `None`: it is what is in force.
fn ready(content: Content, settings: &Settings, live: &Live) -> Result<Option<Ready>, String> {
    let files = content.map_err(|errors| errors.join("\n"))?;
    let compiled = parts::compile(files, settings, false)?;
    if *compiled.policy.hash() == *live.current().policy.hash() {
        return Ok(None);
    }
    let Compiled { policy, keys, lints, files } = compiled;
    let lines = |missing: Vec<NoUpstream>| missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let snapshot = Snapshot::new(policy, settings).map_err(lines)?.made_from(files);
    parts::say_lints(&lints);
    parts::say_exceptions(&snapshot.policy);
    Ok(Some(Ready { snapshot, keys }))
}

fn say(old: &str, new: &str, changes: &Changes) {
    let Changes { routes_added, routes_removed, routes_changed, issuers_added, issuers_removed, issuers_changed } =
        changes;
    let (added, removed) = (issuers_added.join(", "), issuers_removed.join(", "));
    let changed = issuers_changed.join(", ");
    tracing::info!(
        old,
        new,
        routes_added,
        routes_removed,
        routes_changed,
        issuers_added = added,
        issuers_removed = removed,
        issuers_changed = changed,
        "another policy is in force"
    );
}

/// At most so much as a log takes in one line.
fn shortened(text: &str) -> String {
    if text.len() <= MOST_DIAGNOSTICS {
        return text.to_owned();
    }
    let end = (0..=MOST_DIAGNOSTICS).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}\n… and more: `stepgate check` shows all of it", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_diagnostics_end_at_a_character() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"é".repeat(MOST_DIAGNOSTICS));
        assert!(long.len() < MOST_DIAGNOSTICS + 100 && long.contains("stepgate check"));
    }
}
