//! A flame graph: stacks added up and drawn, one box a function, as wide as its share of the samples.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Samples by stack, outermost function first, separated by `;`.
pub(super) type Folded = BTreeMap<String, u64>;

/// Adds up what `perf script -F comm,ip,sym` prints: a line with the thread's name, the frames from the innermost on,
/// an empty line.
pub(super) fn fold(script: &str) -> Folded {
    let mut folded = Folded::new();
    for sample in script.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some(thread) = lines.next() else { continue };
        let mut frames: Vec<String> = lines.map(function).collect();
        frames.push(thread.trim().replace(';', ":"));
        frames.reverse();
        *folded.entry(frames.join(";")).or_default() += 1;
    }
    folded
}

/// The function's name without its address and its hash.
fn function(line: &str) -> String {
    let name = line.trim().split_once(' ').map_or("[unknown]", |(_, name)| name.trim());
    let name =
        name.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16).map_or(name, |(n, _)| n);
    name.replace(';', ":")
}

#[derive(Default)]
struct Node<'a> {
    samples: u64,
    children: BTreeMap<&'a str, Self>,
}

const WIDTH: f64 = 1600.0;
const ROW: f64 = 17.0;
const HEAD: f64 = 48.0;
/// Boxes narrower than this are left out.
const NARROW: f64 = 0.4;
/// The width of a letter.
const LETTER: f64 = 6.6;

/// The picture; every box tells its function and share when pointed at.
pub(super) fn svg(folded: &Folded, title: &str, subtitle: &str) -> String {
    let mut root = Node::default();
    for (stack, count) in folded {
        let mut node = &mut root;
        node.samples += count;
        for frame in stack.split(';') {
            node = node.children.entry(frame).or_default();
            node.samples += count;
        }
    }
    let mut boxes = String::new();
    let scale = WIDTH / root.samples.max(1) as f64;
    let depth = draw(&root, (0.0, 0), scale, &mut boxes);
    let height = HEAD + (depth as f64) * ROW + 8.0;
    let (title, subtitle) = (escape(title), escape(subtitle));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fffdf8\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"15\">{title}</text>\n<text x=\"8\" y=\"38\">{subtitle}</text>\n\
         {boxes}</svg>\n"
    )
}

/// Draws what is above a node, and tells how many rows that takes.
fn draw(node: &Node<'_>, (mut x, row): (f64, usize), scale: f64, out: &mut String) -> usize {
    let mut deepest = row;
    let total = WIDTH / scale;
    for (name, child) in &node.children {
        let width = child.samples as f64 * scale;
        if width >= NARROW {
            let y = HEAD + row as f64 * ROW;
            let percent = child.samples as f64 * 100.0 / total;
            let shown = escape(&shortened(name, width));
            let name = escape(name);
            let colour = colour(&name);
            let _ = writeln!(
                out,
                "<g><title>{name}: {percent:.1} %</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" \
                 height=\"{}\" fill=\"{colour}\" stroke=\"#fffdf8\" stroke-width=\"0.5\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{shown}</text></g>",
                ROW - 1.0,
                x + 3.0,
                y + 12.0
            );
            deepest = deepest.max(draw(child, (x, row + 1), scale, out));
        }
        x += width;
    }
    deepest.max(row)
}

/// As much of the name's end as fits: paths differ there.
fn shortened(name: &str, width: f64) -> String {
    let letters = ((width - 6.0) / LETTER).max(0.0) as usize;
    let count = name.chars().count();
    match letters {
        0..=2 => String::new(),
        _ if count <= letters => name.to_owned(),
        _ => format!("..{}", name.chars().skip(count + 2 - letters).collect::<String>()),
    }
}

/// Ours, the runtime's, the kernel's and the rest apart.
fn colour(name: &str) -> &'static str {
    if name.contains("leno") {
        "#f4a261"
    } else if name.contains("::") {
        "#e9c46a"
    } else if name.contains("tcp") || name.contains("sys") || name.contains("sock") {
        "#8ab6d6"
    } else {
        "#b8c4bb"
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{fold, svg};

    const SCRIPT: &str = "worker-0\n\t55d0 leno_http::h1::parse::request::h0123456789abcdef\n\t55d1 main\n\n\
                          worker-0\n\t55d0 leno_http::h1::parse::request::h0123456789abcdef\n\t55d1 main\n\n\
                          worker-0\n\tffff tcp_sendmsg\n\t55d1 main\n\n";

    #[test]
    fn stacks_are_added_up_from_the_outermost_on() {
        let folded = fold(SCRIPT);
        let expected = [
            ("worker-0;main;leno_http::h1::parse::request".to_owned(), 2),
            ("worker-0;main;tcp_sendmsg".to_owned(), 1),
        ];
        assert_eq!(folded.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_box_tells_its_share() {
        let picture = svg(&fold(SCRIPT), "a < b", "3 samples");
        for part in ["a &lt; b", "main: 100.0 %", "request: 66.7 %", "tcp_sendmsg: 33.3 %"] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
    }
}
