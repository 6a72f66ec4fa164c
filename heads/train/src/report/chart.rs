//! Line charts as SVG.

use std::fmt::Write;

/// Colours of the lines, told apart with every common colour blindness.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#a6761d"];
const WIDTH: f64 = 575.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 62.0;
const BOTTOM: f64 = 40.0;
/// Room on the right for the lines' names.
const RIGHT: f64 = 170.0;
const TOP: f64 = 12.0;

/// One line of a chart.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// From left to right, at x = 1, 2, ...
    pub(super) values: &'a [f64],
}

/// A chart of lines over 1, 2, ...; each is named at its end.
pub(super) fn lines(lines: &[Line<'_>], x_name: &str, y_name: &str, (low, high): (f64, f64)) -> String {
    let count = lines.iter().map(|l| l.values.len()).max().unwrap_or(0).max(2);
    let x = |at: usize| LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / (count - 1) as f64;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value - low) / (high - low).max(1e-9));
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\">");
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = svg.write_fmt(text);
    };
    for step in 0..=5 {
        let value = low + (high - low) * f64::from(step) / 5.0;
        let (at, end) = (y(value), WIDTH - RIGHT);
        let digits = if high - low > 2.0 { 1 } else { 2 };
        put(format_args!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
        put(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            LEFT - 6.0,
            at + 4.0
        ));
    }
    for at in (0..count).filter(|at| *at == 0 || (at + 1).is_multiple_of(count.div_ceil(5).max(1))) {
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(at),
            HEIGHT - BOTTOM + 18.0,
            at + 1
        ));
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    put(format_args!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 4.0,
        escaped(x_name)
    ));
    put(format_args!(
        "<text x=\"12\" y=\"{}\" transform=\"rotate(-90 12 {0})\" text-anchor=\"middle\">{}</text>",
        HEIGHT / 2.0,
        escaped(y_name)
    ));
    let mut ends: Vec<(f64, usize)> =
        lines.iter().enumerate().filter_map(|(i, l)| Some((y(*l.values.last()?), i))).collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Names keep a line's height apart.
    for i in 1..ends.len() {
        ends[i].0 = ends[i].0.max(ends[i - 1].0 + 14.0);
    }
    // And above the axis.
    let mut room = HEIGHT - BOTTOM;
    for end in ends.iter_mut().rev() {
        end.0 = end.0.min(room);
        room = end.0 - 14.0;
    }
    for (name_at, i) in ends {
        let (line, colour) = (&lines[i], COLOURS[i % COLOURS.len()]);
        let points: Vec<String> =
            line.values.iter().enumerate().map(|(at, v)| format!("{:.1},{:.1}", x(at), y(*v))).collect();
        let dash = if i >= COLOURS.len() { " stroke-dasharray=\"5 3\"" } else { "" };
        put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            points.join(" ")
        ));
        let (at, from) = (name_at + 4.0, WIDTH - RIGHT + 6.0);
        put(format_args!("<text x=\"{from}\" y=\"{at:.1}\" fill=\"{colour}\">{}</text>", escaped(line.name)));
    }
    svg + "</svg>"
}

/// A line through the plane, from the first point to the last, and a dot.
pub(super) struct PlanePath {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) dot: (f64, f64),
}

/// Lines through the plane of two shares, each named at its dot; the axes hold what there is.
pub(super) fn plane(paths: &[PlanePath], x_name: &str, y_name: &str) -> String {
    let all = || paths.iter().flat_map(|p| p.points.iter().copied().chain([p.dot]));
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let low = all().map(|p| of(&p)).fold(f64::INFINITY, f64::min);
        let high = all().map(|p| of(&p)).fold(f64::NEG_INFINITY, f64::max);
        let step = 0.05;
        if low <= high {
            ((low / step).floor() * step, ((high / step).floor() + 1.0) * step)
        } else {
            (0.0, 1.0)
        }
    };
    let (horizontal, vertical) = (bounds(|p| p.0), bounds(|p| p.1));
    let x = |v: f64| LEFT + (WIDTH - LEFT - RIGHT) * (v - horizontal.0) / (horizontal.1 - horizontal.0);
    let y = |v: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (v - vertical.0) / (vertical.1 - vertical.0));
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\">");
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (across, up) = (
            horizontal.0 + share * (horizontal.1 - horizontal.0),
            vertical.0 + share * (vertical.1 - vertical.0),
        );
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{up:.2}</text>\
             <text x=\"{4:.1}\" y=\"{5}\" text-anchor=\"middle\">{across:.2}</text>",
            WIDTH - RIGHT,
            y(up),
            LEFT - 6.0,
            y(up) + 4.0,
            x(across),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text x=\"12\" y=\"{3}\" transform=\"rotate(-90 12 {3})\" text-anchor=\"middle\">{4}</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 4.0,
        escaped(x_name),
        HEIGHT / 2.0,
        escaped(y_name)
    );
    for (at, path) in paths.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<String> =
            path.points.iter().map(|(h, v)| format!("{:.1},{:.1}", x(*h), y(*v))).collect();
        let named_at = TOP + 14.0 * (at + 1) as f64;
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{named_at:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            x(path.dot.0),
            y(path.dot.1),
            WIDTH - RIGHT + 6.0,
            escaped(&path.name)
        );
    }
    svg + "</svg>"
}

/// Text for HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_inside_the_chart_and_names_are_escaped() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i) / 50.0).collect();
        let named = |name| Line { name, values: &values };
        let svg = lines(&[named("a < b"), named("c")], "k", "share", (0.0, 1.0));
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b") && !svg.contains("NaN"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!lines(&[], "k", "share", (0.0, 1.0)).contains("NaN"));
    }
}
