//! Notices that files changed: by looking, not by being told.
//!
//! Notifications miss what Kubernetes does to a mounted ConfigMap (it swaps a link two folders up), what `subPath` mounts
//! and network file systems do, and their meaning differs between systems. Reading a few small files once a second has none
//! of these faults. A change is taken when it has held still for a while, so that a half-written file is not.

use std::time::Duration;

use tokio::sync::watch;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a change must hold still.
const STILL: Duration = Duration::from_millis(500);
/// How often a look that was asked for is repeated until two in a row agree.
const LOOKS: usize = 5;

/// How long a look may take before it is said, again and again, that nothing is seen.
const LATE: Duration = Duration::from_secs(30);

/// Tells watchers to look now, as SIGHUP does.
pub type Nudge = watch::Receiver<()>;

/// Where nudges come from: one for the process, which every watcher subscribes to.
#[derive(Clone, Debug)]
pub struct Nudges(watch::Sender<()>);

impl Nudges {
    /// Nobody is nudged yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// What a watcher waits for. Nudges from before are none to it.
    #[must_use]
    pub fn subscribe(&self) -> Nudge {
        self.0.subscribe()
    }

    /// Has every watcher look now and take what there is.
    pub fn nudge(&self) {
        self.0.send_replace(());
    }
}

impl Default for Nudges {
    fn default() -> Self {
        Self::new()
    }
}

/// Why content is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It changed and held still.
    Changed,
    /// Somebody asked. It may be what it was.
    Asked,
}

/// Looks for ever; gives `take` what `read` finds whenever that is no longer what was taken last (at first `taken`), or
/// when nudged. `read` may block. Ends with its runtime.
pub async fn watch<C: PartialEq + Send + 'static>(
    mut taken: C,
    read: impl Fn() -> C + Clone + Send + 'static,
    mut nudge: Nudge,
    mut take: impl FnMut(&C, Cause),
) {
    // Where nobody can nudge any more, there is still the clock.
    let mut nudges = true;
    'watching: loop {
        let mut cause = pause(LOOK, &mut nudge, &mut nudges).await;
        let Some(mut found) = look(&read).await else { continue };
        while cause == Cause::Changed && found != taken {
            cause = pause(STILL, &mut nudge, &mut nudges).await;
            let Some(again) = look(&read).await else { continue 'watching };
            let still = again == found;
            found = again;
            if still {
                break;
            }
        }
        if cause == Cause::Asked {
            // Not waited for, but not half of two contents either: a look during which files were changed for others
            // differs from the next.
            for _ in 0..LOOKS {
                let Some(again) = look(&read).await else { break };
                let agree = again == found;
                found = again;
                if agree {
                    break;
                }
            }
        }
        if cause == Cause::Asked || found != taken {
            take(&found, cause);
            taken = found;
        }
    }
}

/// Waits, but not past a nudge.
async fn pause(time: Duration, nudge: &mut Nudge, nudges: &mut bool) -> Cause {
    tokio::select! {
        () = tokio::time::sleep(time) => Cause::Changed,
        changed = nudge.changed(), if *nudges => match changed {
            Ok(()) => Cause::Asked,
            Err(_nobody) => {
                *nudges = false;
                Cause::Changed
            }
        },
    }
}

/// `None` when the runtime is ending, or by a bug in `read`, which must not end the watch.
async fn look<C: Send + 'static>(read: &(impl Fn() -> C + Clone + Send + 'static)) -> Option<C> {
    let mut looking = tokio::task::spawn_blocking(read.clone());
    let looked = loop {
        match tokio::time::timeout(LATE, &mut looking).await {
            Ok(looked) => break looked,
            Err(_late) => tracing::error!(
                "watched files cannot be read: their disk has not answered for {} s; until it does no change is noticed",
                LATE.as_secs()
            ),
        }
    };
    match looked {
        Ok(found) => Some(found),
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "a look at watched files failed by a bug; it is tried again");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::watch::channel;

    use super::*;

    /// What was taken, and when, for content that changes at these milliseconds.
    fn taken_of(changes: &'static [(u64, u32)], nudge_at: Option<u64>) -> Vec<(u128, u32, Cause)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let start = tokio::time::Instant::now();
            let read = move || {
                let now = u64::try_from(start.elapsed().as_millis()).unwrap();
                changes.iter().rev().find(|(at, _)| *at <= now).map_or(0, |(_, content)| *content)
            };
            let (sender, nudge) = channel(());
            let log = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&log);
            let watching = watch(0, read, nudge, move |content, cause| {
                kept.lock().unwrap().push((start.elapsed().as_millis(), *content, cause));
            });
            let nudging = async {
                if let Some(at) = nudge_at {
                    tokio::time::sleep(Duration::from_millis(at)).await;
                    sender.send_replace(());
                }
                std::future::pending::<()>().await;
            };
            let both = async { tokio::join!(watching, nudging) };
            let _end = tokio::time::timeout(Duration::from_secs(20), both).await;
            let log = log.lock().unwrap();
            log.clone()
        })
    }

    #[test]
    fn a_change_is_taken_once_when_it_has_held_still() {
        let taken = taken_of(&[(2_100, 1)], None);
        let [(at, 1, Cause::Changed)] = taken[..] else { panic!("{taken:?}") };
        assert!((2_600..=3_700).contains(&at), "{at}");
    }

    #[test]
    fn what_still_changes_is_waited_for() {
        let taken = taken_of(&[(2_100, 1), (3_200, 2), (3_700, 3), (4_100, 4)], None);
        let [(at, 4, Cause::Changed)] = taken[..] else { panic!("{taken:?}") };
        assert!((4_600..=5_700).contains(&at), "{at}");
    }

    #[test]
    fn what_changes_and_changes_back_is_nothing() {
        assert_eq!(taken_of(&[(2_900, 1), (3_300, 0)], None), []);
    }

    #[test]
    fn a_nudge_never_takes_halves_of_two_contents() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let looks = Arc::new(Mutex::new(vec![2, 2, 1]));
            let read = move || {
                let mut looks = looks.lock().unwrap();
                if looks.len() > 1 { looks.pop().unwrap() } else { looks[0] }
            };
            let nudges = Nudges::new();
            let (sender, mut taken) = tokio::sync::mpsc::channel(8);
            let nudge = nudges.subscribe();
            nudges.nudge();
            let watching = watch(0, read, nudge, move |content, _| sender.try_send(*content).unwrap());
            tokio::select! {
                () = watching => panic!("a watch does not end"),
                first = taken.recv() => assert_eq!(first, Some(2), "the look that agreed with the next"),
            }
        });
    }

    #[test]
    fn a_look_that_fails_by_a_bug_does_not_end_the_watch() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let read = move || {
                let look = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert_ne!(look, 1, "a bug");
                look.min(2)
            };
            let (sender, mut taken) = tokio::sync::mpsc::channel(8);
            let watching =
                watch(0, read, Nudges::new().subscribe(), move |content, _| sender.try_send(*content).unwrap());
            tokio::select! {
                () = watching => panic!("a watch does not end"),
                first = taken.recv() => assert_eq!(first, Some(2)),
            }
        });
    }

    #[test]
    fn a_nudge_takes_at_once_whatever_there_is() {
        assert_eq!(taken_of(&[], Some(300)), [(300, 0, Cause::Asked)]);
        let taken = taken_of(&[(2_100, 1)], Some(2_200));
        assert_eq!(taken, [(2_200, 1, Cause::Asked)]);
    }
}
