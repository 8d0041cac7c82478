//! The plot: calls per second as bars, one panel for each shape, in a file that is readable on light and on dark pages.

use super::results::Results;
use crate::table::{grouped, size};
use std::fmt::Write;

const WIDTH: usize = 880;
const PANEL_WIDTH: usize = 430;
const NAMES_WIDTH: usize = 144;
/// Room behind the longest bar for its figure.
const FIGURE_WIDTH: usize = 76;
const BAR_HEIGHT: usize = 18;
const BAR_STEP: usize = 24;
const HEAD_HEIGHT: usize = 44;
const PANEL_HEAD: usize = 34;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:600}.panel{font-weight:600}.ours{fill:#0969da}.relay{fill:#afb8c1}.peer{fill:#6e7781}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#58a6ff}.relay{fill:#484f58}.peer{fill:#8b949e}}";

/// The smallest data, all shapes.
pub(super) fn svg(results: &Results) -> String {
    let (shapes, systems) = (results.shapes(), results.systems());
    let bytes = results.sizes().first().copied().unwrap_or_default();
    let panel_height = PANEL_HEAD + systems.len() * BAR_STEP + 14;
    let height = HEAD_HEIGHT + shapes.len().div_ceil(2) * panel_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Calls per second over loopback, lean clients</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"10\" y=\"26\">Calls per second, {} of data (more is better; relay is the limit)</text>\n",
        size(bytes as usize)
    );
    for (index, shape) in shapes.iter().enumerate() {
        let (x, y) = (10 + index % 2 * (PANEL_WIDTH + 10), HEAD_HEIGHT + index / 2 * panel_height);
        panel(&mut svg, results, (shape, bytes), &systems, (x, y));
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, results: &Results, (shape, bytes): (&str, u64), systems: &[&str], (x, y): (usize, usize)) {
    let speed = |system: &str| results.line(system, shape, bytes)?.median("calls_per_second");
    let most = systems.iter().filter_map(|system| speed(system)).fold(0.0, f64::max);
    let _ = writeln!(svg, "<text class=\"panel\" x=\"{x}\" y=\"{}\">{}</text>", y + 20, in_words(shape));
    for (index, system) in systems.iter().enumerate() {
        let Some(speed) = speed(system) else { continue };
        let room = (PANEL_WIDTH - NAMES_WIDTH - FIGURE_WIDTH) as f64;
        let (top, width) = (y + PANEL_HEAD + index * BAR_STEP, (speed / most * room).max(1.0));
        let (base, bar) = (top + 14, x + NAMES_WIDTH);
        let class = match *system {
            "answerback" => "ours",
            "relay" => "relay",
            _ => "peer",
        };
        let name_at = bar - 8;
        let figure_at = bar as f64 + width + 6.0;
        let _ = writeln!(
            svg,
            "<text x=\"{name_at}\" y=\"{base}\" text-anchor=\"end\">{system}</text>\
             <rect class=\"{class}\" x=\"{bar}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>\
             <text x=\"{figure_at:.1}\" y=\"{base}\">{}</text>",
            grouped(speed)
        );
    }
}

/// `64x4:8` as a title.
fn in_words(shape: &str) -> String {
    let numbers: Vec<&str> = shape.split(['x', ':']).collect();
    let [requesters, in_flight, responders] = numbers[..] else { return shape.to_owned() };
    let many = |count: &str, what: &str| if count == "1" { format!("1 {what}") } else { format!("{count} {what}s") };
    let each = if requesters == "1" { "" } else { " each" };
    format!("{}, {in_flight} in flight{each}, {}", many(requesters, "requester"), many(responders, "responder"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_longest_bar_fills_its_room_and_others_are_in_proportion() {
        let line = |system, speed| json!({ "system": system, "shape": "64x4:8", "data_bytes": 64, "rounds": [{ "calls_per_second": speed }] });
        let results = Results::new(json!({ "measured": [line("answerback", 50.0), line("relay", 100.0)] })).unwrap();
        let svg = svg(&results);
        assert!(svg.contains("64 requesters, 4 in flight each, 8 responders"), "{svg}");
        assert!(svg.contains("width=\"210.0\"") && svg.contains("width=\"105.0\""), "{svg}");
    }
}
