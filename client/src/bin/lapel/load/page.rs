//! The figures of a load test as one page: no script, nothing loaded from elsewhere.

use super::step::Step;
use std::fmt::Write;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884}
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:900px;padding:0 1rem}
table{border-collapse:collapse}th,td{padding:.2rem .7rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child{text-align:left}
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .grid{stroke:var(--line)}";
/// Told apart with every common colour blindness.
const COLOURS: [&str; 3] = ["#0072b2", "#e69f00", "#d55e00"];
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const BELOW: f64 = 40.0;
const RIGHT: f64 = 90.0;

/// A curve: its name, and its points.
type Curve = (&'static str, Vec<(f64, f64)>);

pub(super) fn page(server: &str, mix: &str, steps: &[Step], knee: Option<f64>) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lapel load test</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Load test</h1><p>{} &middot; {}</p>",
        escaped(server),
        escaped(mix)
    );
    if let Some(knee) = knee {
        html.push_str(&format!("<p><b>{knee:.0} requests a second</b> are answered fast enough.</p>"));
    }
    if steps.len() > 1 {
        let curve = |value: &dyn Fn(&Step) -> f64| steps.iter().map(|s| (s.offered, value(s))).collect();
        html.push_str("<h2>Answers a second by requests a second</h2>");
        html.push_str(&chart(&[("answered", curve(&Step::answered)), ("sent", curve(&|s| s.offered))]));
        html.push_str("<h2>Milliseconds by requests a second</h2>");
        let at = |part: f64| curve(&move |s| s.ms(part));
        html.push_str(&chart(&[("p50", at(0.5)), ("p90", at(0.9)), ("p99", at(0.99))]));
    } else if let Some(step) = steps.first() {
        html.push_str("<h2>Milliseconds within which a share of the answers came</h2>");
        // The tail is what matters: each step to the right is a tenth of the answers that are left.
        let nines = (0..=40).map(|n| f64::from(n) / 10.0);
        let of = nines.map(|nines| (nines, step.ms(1.0 - 10f64.powf(-nines)))).collect();
        html.push_str(&chart(&[("all", of)]));
        html.push_str("<p>1 on the axis: 90 % of the answers, 2: 99 %, 3: 99.9 %.</p>");
    }
    html.push_str(
        "<table><tr><th><th>answered a second<th>p50 ms<th>p90<th>p99<th>p99.9<th>most<th>not answered</tr>",
    );
    for step in steps {
        let refused: Vec<String> = step
            .statuses
            .iter()
            .filter(|(s, _)| *s != "OK")
            .map(|(s, n)| format!("{n} {}", escaped(s)))
            .collect();
        let [p50, p90, p99, p999, most] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| step.ms(part));
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<tr><td>{}<td>{:.0}<td>{p50:.1}<td>{p90:.1}<td>{p99:.1}<td>{p999:.1}<td>{most:.1}<td>{}</tr>",
            step.pace,
            step.answered(),
            refused.join(", ")
        );
    }
    html + "</table></html>"
}

fn chart(curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1e-9, f64::max);
    let (x_most, y_most) = (most(|p| p.0), most(|p| p.1));
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / x_most;
    let y = |value: f64| 10.0 + (HEIGHT - 10.0 - BELOW) * (1.0 - value / y_most);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\">");
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let (at, end) = (y(part * y_most), WIDTH - RIGHT);
        let digits = usize::from(y_most < 20.0);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.digits$}</text>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{:.digits2$}</text>",
            LEFT - 6.0,
            at + 4.0,
            part * y_most,
            x(part * x_most),
            HEIGHT - BELOW + 18.0,
            part * x_most,
            digits2 = usize::from(x_most < 20.0)
        );
    }
    for ((name, points), colour) in curves.iter().zip(COLOURS) {
        let line: Vec<String> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let end = points.last().map_or(0.0, |p| y(p.1));
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{:.1}\" style=\"fill:{colour}\">{name}</text>",
            line.join(" "),
            WIDTH - RIGHT + 6.0,
            end + 4.0
        );
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
