//! One node more or less in the text of a topology file, and everything else as the user wrote it.
//!
//! Only the plain form is edited, `instances:` on a line of its own with a node a line or a block each. What comes
//! of it must be read back before it is used: an edit that went wrong then shows.

/// Returns the text with a node more, after the last one. `None` where its form is another one.
pub fn with_node(text: &str, line: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, end) = block(&lines)?;
    let indent = indent_of(lines.get(first)?);
    // Blank lines and comments before the next section belong to that.
    let last = (first..end).rev().find(|i| is_content(lines[*i]))?;
    let mut out: Vec<String> = lines[..=last].iter().map(|l| (*l).to_owned()).collect();
    out.push(format!("{}{line}", " ".repeat(indent)));
    out.extend(lines[last + 1..].iter().map(|l| (*l).to_owned()));
    Some(out.join("\n") + "\n")
}

/// Returns the text without a node. `None` where its form is another one, or it is not there.
pub fn without_node(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, end) = block(&lines)?;
    let indent = indent_of(lines.get(first)?);
    let is_it = |line: &str| {
        let rest = line.trim_start();
        let key = rest.split(':').next().unwrap_or("").trim_matches(['"', '\'']);
        indent_of(line) == indent && is_content(line) && key == name
    };
    let at = (first..end).find(|i| is_it(lines[*i]))?;
    // Its last line is the last deeper one before its next sibling; what is blank between belongs to it.
    let sibling =
        (at + 1..end).find(|i| is_content(lines[*i]) && indent_of(lines[*i]) <= indent).unwrap_or(end);
    let next = (at..sibling).rev().find(|i| is_content(lines[*i])).map_or(at + 1, |i| i + 1);
    let kept = lines[..at].iter().chain(&lines[next..]);
    Some(kept.fold(String::new(), |out, line| out + line + "\n"))
}

/// The lines of the nodes: from the first node on, up to the next section.
fn block(lines: &[&str]) -> Option<(usize, usize)> {
    let head = lines.iter().position(|l| {
        let code = l.split('#').next().unwrap_or("").trim_end();
        code == "instances:"
    })?;
    let first = (head + 1..lines.len()).find(|i| is_content(lines[*i]))?;
    if indent_of(lines[first]) == 0 || lines[first].trim_start().starts_with('-') {
        return None;
    }
    let end = (first..lines.len()).find(|i| is_content(lines[*i]) && indent_of(lines[*i]) == 0);
    Some((first, end.unwrap_or(lines.len())))
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_content(line: &str) -> bool {
    let rest = line.trim_start();
    !rest.is_empty() && !rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name: demo # instances:\ninstances: # the nodes\n  # first\n  main: { role: main }\n  r1:\n    role: replica\n\n    mode: ASYNC   # far away\n  r10: { role: replica }\n\n# the end\nwait: { timeout: 1m }\n";

    #[test]
    fn a_node_is_added_after_the_last_and_nothing_else_changes() {
        let text = with_node(FILE, "r2: { role: replica }").unwrap();
        assert_eq!(
            text,
            FILE.replace("  r10: { role: replica }\n", "  r10: { role: replica }\n  r2: { role: replica }\n")
        );
        assert_eq!(with_node("name: a\ninstances: { main: { role: main } }\n", "x: {}"), None);
        assert_eq!(with_node("name: a\ninstances:\n  - { name: main }\n", "x: {}"), None);
        assert_eq!(with_node("name: a\n", "x: {}"), None);
    }

    #[test]
    fn a_node_is_removed_with_all_of_its_lines_and_no_other() {
        let text = without_node(FILE, "r1").unwrap();
        assert_eq!(text, FILE.replace("  r1:\n    role: replica\n\n    mode: ASYNC   # far away\n", ""));
        assert_eq!(without_node(FILE, "r10").unwrap(), FILE.replace("  r10: { role: replica }\n", ""));
        assert_eq!(without_node(FILE, "r"), None);
        assert_eq!(without_node(FILE, "role"), None);
    }
}
