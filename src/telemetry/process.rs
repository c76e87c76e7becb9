//! What the system says of this process, under the names that every Prometheus exporter uses. Read at a scrape alone.

use std::fs;

/// What could be read; what could not is left out of the scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// In seconds since 1970.
    pub(super) start: Option<f64>,
    /// User and system time, in seconds.
    pub(super) cpu: Option<f64>,
    pub(super) resident: Option<i64>,
    pub(super) open_files: Option<i64>,
    pub(super) max_files: Option<i64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let ticks = fs::read("/proc/self/auxv").ok().and_then(|auxv| ticks_per_second(&auxv));
        let seconds = |field: usize| {
            // The second field is the program's name in brackets, and may have spaces and brackets in it.
            let (_, fields) = stat.as_ref()?.rsplit_once(") ")?;
            let count: f64 = fields.split(' ').nth(field.checked_sub(3)?)?.parse().ok()?;
            Some(count / ticks?)
        };
        let files = fs::read_dir("/proc/self/fd").ok().and_then(|files| i64::try_from(files.count()).ok());
        Self {
            start: booted().zip(seconds(START_TIME)).map(|(booted, since)| booted + since),
            cpu: seconds(USER_TIME).zip(seconds(SYSTEM_TIME)).map(|(user, system)| user + system),
            resident: number_after("/proc/self/status", "VmRSS:").map(|kibibytes| kibibytes.saturating_mul(1024)),
            // One of them is the folder itself, open to be counted.
            open_files: files.map(|count| count.saturating_sub(1)),
            max_files: number_after("/proc/self/limits", "Max open files"),
        }
    }
}

// Fields of /proc/self/stat as proc(5) numbers them.
const USER_TIME: usize = 14;
const SYSTEM_TIME: usize = 15;
const START_TIME: usize = 22;

/// When the machine started, in seconds since 1970.
fn booted() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The first number of the line that begins so.
fn number_after(file: &str, name: &str) -> Option<i64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The unit of times in /proc/self/stat, out of what the kernel gives each program at its start (getauxval(3)).
fn ticks_per_second(auxv: &[u8]) -> Option<f64> {
    const AT_CLKTCK: usize = 17;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes);
    let mut pairs = auxv.chunks_exact(size_of::<[usize; 2]>());
    let ticks = pairs.find_map(|pair| {
        let (kind, value) = pair.split_at_checked(size_of::<usize>())?;
        (word(kind)? == AT_CLKTCK).then(|| word(value)).flatten()
    })?;
    u32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_this_process() {
        let began = std::time::Instant::now();
        let process = Process::read();
        #[expect(clippy::disallowed_methods, reason = "a test that compares with the system's own clock")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let start = process.start.unwrap();
        assert!(start <= now + 2.0 && start > now - 3600.0, "{start} {now}");
        assert!(process.resident.unwrap() > 1 << 20);
        let files = process.open_files.unwrap();
        let _one_more = fs::File::open("/proc/self/stat").unwrap();
        assert!(Process::read().open_files.unwrap() > 0 && files > 0 && files <= process.max_files.unwrap());
        let works = || Process::read().cpu.is_some_and(|cpu| cpu > process.cpu.unwrap());
        while !works() {
            assert!(began.elapsed().as_secs() < 20, "work shows");
        }
    }

    #[test]
    fn the_unit_of_time_is_found_among_the_kernels_words() {
        let words = |words: &[usize]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(ticks_per_second(&words(&[6, 4096, 17, 100, 0, 0])), Some(100.0));
        assert_eq!(ticks_per_second(&words(&[17, 0])), None);
        assert_eq!(ticks_per_second(&words(&[6, 4096])), None);
        assert_eq!(ticks_per_second(b"short"), None);
    }
}
