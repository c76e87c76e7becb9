//! A page: its commands with what they say, and its policies.

use std::path::Path;

pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What stands in its `console` blocks.
    pub(crate) commands: Vec<Command>,
    /// Its `yaml` blocks: the example that the text before links to, and the block.
    pub(crate) policies: Vec<(String, String)>,
}

pub(crate) struct Command {
    pub(crate) line: usize,
    /// All lines of it, joined.
    pub(crate) text: String,
    pub(crate) shown: String,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut page = Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            text: String::new(),
            commands: Vec::new(),
            policies: Vec::new(),
        };
        let mut lines = text.lines().zip(1..);
        let mut linked = None;
        while let Some((line, number)) = lines.next() {
            let targets = line.split("](").filter_map(|part| part.split(')').next());
            linked = targets.filter(|to| to.ends_with("/policy.yaml")).last().map(str::to_owned).or(linked);
            if !["```console", "```yaml"].contains(&line) {
                continue;
            }
            let block: Vec<&str> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
            if line == "```yaml" {
                let link = linked.take().unwrap_or_else(|| panic!("{}:{number}: of which example?", page.name));
                page.policies.push((link, block.join("\n") + "\n"));
            } else {
                page.console(number + 1, &block);
            }
        }
        page.text = text;
        page
    }

    fn console(&mut self, first: usize, lines: &[&str]) {
        let mut lines = lines.iter().copied().zip(first..).peekable();
        while let Some((line, number)) = lines.next() {
            let command = line.strip_prefix("$ ");
            let command = command.unwrap_or_else(|| panic!("{}:{number}: what says this? {line}", self.name));
            let mut text = command.to_owned();
            while let Some(open) = text.strip_suffix('\\') {
                let (next, _) = lines.next().unwrap();
                text = format!("{}{}", open, next.trim_start());
            }
            let mut shown = Vec::new();
            while let Some((line, _)) = lines.next_if(|(line, _)| !line.starts_with("$ ")) {
                shown.push(line);
            }
            self.commands.push(Command { line: number, text, shown: shown.join("\n") });
        }
    }
}

/// Whether what was said is what is shown.
pub(crate) fn fits(shown: &str, said: &str) -> bool {
    let [shown, said] = [shown, said].map(|text| text.lines().collect::<Vec<_>>());
    lines_fit(&shown, &said)
}

fn lines_fit(shown: &[&str], said: &[&str]) -> bool {
    match (shown, said) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=said.len()).any(|skipped| lines_fit(rest, &said[skipped..])),
        ([line, shown @ ..], [other, said @ ..]) => line_fits(line, other) && lines_fit(shown, said),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

fn line_fits(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}
